"""The parts of a stand-alone file that are the same in every one, but for `@marks@`."""

from collections.abc import Mapping

IMPORTS = """\
import json
import math
import re
from pathlib import Path

import torch
@functional@from torch import Tensor, nn

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""

READ = '''\
def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ValueError when the file is damaged."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    if not 8 < start <= len(data):
        raise ValueError(f"{path} is truncated, or no safetensors file")
    try:
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        return {key: _tensor(data, start, **entry) for key, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is truncated, or damaged: {error}") from error


def _tensor(
    data: bytearray, start: int, dtype: str, shape: list[int], data_offsets: list[int]
) -> Tensor:
    """One tensor of a safetensors file whose tensors begin at `start`."""
    kind, count = DTYPES[dtype], math.prod(shape)
    begin, end = data_offsets
    if not 0 <= begin <= end <= len(data) - start or end - begin != count * kind.itemsize:
        raise ValueError(f"{shape} does not fit into bytes {begin} to {end} of {len(data) - start}")
    return torch.frombuffer(data, dtype=kind, count=count, offset=start + begin).reshape(shape)
'''

LOAD = '''\
def load(weights: str | Path | None = None) -> Network:
    """The network in evaluation mode, with the weights of a safetensors file.

    Without one, with those beside this file. Raises ValueError when they do not fit.
    """
    path = Path(weights) if weights else Path(__file__).with_suffix(".safetensors")
    tensors = read_tensors(path)
    keys = {_plain(key): key for key in tensors}
    network = Network()@to@
    state = {}
    for name, value in network.state_dict().items():
        if name.endswith(".num_batches_tracked"):
            continue
        key = @key@
        if key not in tensors:
            raise ValueError(f"{path} has no weight for '{name}'")
        if tensors[key].shape != value.shape:
            shapes = f"{list(tensors[key].shape)}, not {list(value.shape)}"
            raise ValueError(f"{path}: '{key}' has the shape {shapes}")
        state[name] = tensors[key]
    network.load_state_dict(state, strict=False)
    return network.eval()


def _plain(name: str) -> str:
    """The common form of `c03.pre0.bn.bias`, a path here, and `c03/pre0/bn.bias`, a key."""
    return re.sub(r"\\W", "_", name)
'''

MAIN = """\
if __name__ == "__main__":
    network = load()
    with torch.no_grad():
@call@
    print(@shape@)
"""

LOOP = """\
    def forward(self, sequence: Tensor, state: Tensor, *constants: Tensor) -> Tensor:
        states = []
        for x in sequence:
            state = self.step(x, state, *constants)
            states.append(state)
        return torch.stack(states)
"""

HELPERS: Mapping[str, str] = {
    "mean": '''\
class Mean(nn.Module):
    """The mean of values, added from left to right."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        return sum(others, start=first) / (1 + len(others))
''',
    "layer_norm": '''\
class LayerNorm(nn.LayerNorm):
    """Layer norm along one axis."""

    def __init__(self, channels: int, axis: int, **options: float) -> None:
        super().__init__(channels, **options)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(self.axis, -1)).movedim(-1, self.axis)
''',
    "project": '''\
class Project(nn.Module):
    """The product with a weight that is kept as (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int, bound: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight
''',
    "word_dropout": '''\
class WordDropout(nn.Module):
    """In training, drops some words of the vocabulary wherever they occur."""

    def __init__(self, vocabulary: int, rate: float) -> None:
        super().__init__()
        self.vocabulary, self.keep = vocabulary, 1 - rate

    def forward(self, words: Tensor, tokens: Tensor) -> Tensor:
        if not self.training:
            return words
        draw = torch.rand(self.vocabulary, 1, device=words.device)
        return words * F.embedding(tokens, (draw < self.keep).to(words.dtype) / self.keep)
''',
    "dropout_mask": '''\
class DropoutMask(nn.Module):
    """In training one draw for each example and unit, the same at every step; else ones."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.keep = 1 - rate

    def forward(self, like: Tensor) -> Tensor:
        if not self.training:
            return torch.ones(like.shape[-2:], dtype=like.dtype, device=like.device)
        draw = torch.rand(like.shape[-2:], device=like.device)
        return (draw < self.keep).to(like.dtype) / self.keep
''',
    "frozen_gaussian": '''\
class FrozenNoise(nn.Module):
    """One draw from N(0, 1), the same for every example."""

    value: Tensor

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("value", torch.randn(1, channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(x.shape[0], -1, -1, -1)
''',
    "drop_path": '''\
class DropPath(nn.Module):
    """In training, some examples are zero, and others are divided by the share that is kept.

    The network draws the masks of all paths at once; `row` is the number of this one.
    """

    row = 0

    def forward(self, x: Tensor, masks: Tensor) -> Tensor:
        return x * masks[self.row].to(x.dtype).view(-1, 1, 1, 1) if self.training else x


def path_masks(count: int, x: Tensor, probability: float) -> Tensor:
    """For each path and example 0, or 1 / (1 - probability)."""
    kept = torch.rand(count, len(x), device=x.device) < 1 - probability
    return kept.to(x.dtype) / (1 - probability)
''',
}
"""The classes that layers of an op need."""
