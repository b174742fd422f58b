"""A running average of a network's weights."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn


class Average:
    """The average of all that a module's state holds, from its first `add` on. Mutable.

    With a `decay` d it moves by 1 - d towards the state at each step (an exponential average);
    with 0 all states count alike, which is averaged SGD (Polyak and Juditsky, 1992).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        self._update: Any = get_ema_multi_avg_fn(decay) if decay else get_swa_multi_avg_fn()
        self.count = 0
        self.values: dict[str, Tensor] = {}

    def add(self) -> None:
        """Takes the state as it is now into the average."""
        state = self._module.state_dict()
        if not self.count:
            self.values = {key: value.detach().clone() for key, value in state.items()}
        else:
            with torch.no_grad():
                now = [state[key].detach() for key in self.values]
                self._update(list(self.values.values()), now, torch.tensor(self.count))
        self.count += 1

    def restore(self, values: Mapping[str, Tensor], count: int) -> None:
        """Goes on from a checkpoint's."""
        state = self._module.state_dict()
        self.values = {key: value.to(state[key]).clone() for key, value in values.items()}
        self.count = count

    @contextmanager
    def applied(self) -> Generator[None]:
        """Within, the module has the average for its state, if there is one."""
        if not self.count:
            yield
            return
        state = self._module.state_dict()
        kept = {key: value.detach().clone() for key, value in state.items()}
        try:
            self._module.load_state_dict(self.values)
            yield
        finally:
            self._module.load_state_dict(kept)
