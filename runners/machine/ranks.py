"""The processes of a run, which torchrun starts and torch.distributed joins."""

import atexit
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from lowering import BatchPart
from nasir import NasirError
from nasir.errors import quoted
from runners.machine.machine import check_alone

Value = TypeVar("Value")

_torch: Any = torch
_distributed: Any = distributed  # partly without types


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process, number `rank` of `count`, from 0. A method that exchanges is called by all."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def part(self, total: int) -> BatchPart | None:
        """Returns this process's part of a batch, None alone.

        Sizes differ by one at most, as of torch.tensor_split. Raises an error if a process would
        have nothing.
        """
        if self.count == 1:
            return None
        if total < self.count:
            message = f"a batch has {total} examples, too few for {self.count} processes"
            hint = "another batch, so that an epoch's last one is not so small; or fewer processes"
            raise NasirError("E728", message, hint=hint)
        size, more = divmod(total, self.count)
        return BatchPart(self.rank * size + min(self.rank, more), size + (self.rank < more), total)

    def summed(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Returns the sums over processes, the same to the bit in each; detached."""
        return list(values) if self.count == 1 else _exchanged(values, _distributed.all_reduce)

    def totals(self, *numbers: float) -> tuple[float, ...]:
        """Returns the sums over processes, in float64."""
        if self.count == 1:
            return numbers
        values = torch.tensor(numbers, dtype=torch.float64, device=_device())
        return tuple(map(float, self.summed([values])[0]))

    def joined(self, value: Tensor, axis: int) -> Tensor:
        """Returns the processes' values side by side, in order."""
        if self.count == 1:
            return value
        return torch.cat(self._all(value.cpu()), axis).to(value.device)

    def told(self, make: Callable[[], Value]) -> Value:
        """Returns what `make` returns in the first process, or raises its error in all."""
        if self.count == 1:
            return make()
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = make()
            except NasirError as error:
                found[1] = error
        _distributed.broadcast_object_list(found, device=_device())
        if found[1] is not None:
            raise found[1]
        return found[0]

    def follow(self, values: Sequence[Tensor]) -> None:
        """Overwrites tensors with those of the first process, as DistributedDataParallel does."""
        if self.count == 1 or not values:
            return
        new = _exchanged(values, lambda flat: _distributed.broadcast(flat, 0))
        with torch.no_grad():
            _torch._foreach_copy_(list(values), new)

    def require_equal(self, named: Mapping[str, Tensor]) -> None:
        """Raises an error that names the first tensor that differs between processes."""
        if self.count == 1:
            return
        digests = {name: _digest(value) for name, value in named.items()}
        whole = sha256(repr(digests).encode()).hexdigest()
        if len(set(self._all(whole))) == 1:
            return
        first, *others = self._all(digests)
        for name in digests:
            odd = [rank for rank, each in enumerate(others, 1) if each.get(name) != first.get(name)]
            if odd:
                message = f"processes 0 and {odd[0]} have different values of {quoted(name)}"
                hint = "the last checkpoint is valid; do all processes run the same code and data?"
                raise NasirError("E745", message, hint=hint)

    def _all(self, value: Value) -> list[Value]:
        """Returns the processes' values, in order."""
        found: list[Any] = [None] * self.count
        _distributed.all_gather_object(found, value)
        return found


def _exchanged(values: Sequence[Tensor], exchange: Callable[[Tensor], Any]) -> list[Tensor]:
    """Returns the values after `exchange` in place of a copy of all those of one type at once."""
    found: dict[int, Tensor] = {}
    for dtype in dict.fromkeys(value.dtype for value in values):
        places = [place for place, value in enumerate(values) if value.dtype == dtype]
        flat = torch.cat([values[place].detach().reshape(-1) for place in places])
        exchange(flat)
        parts = torch.split(flat, [values[place].numel() for place in places])
        for place, part in zip(places, parts, strict=True):
            found[place] = part.view(values[place].shape)
    return [found[place] for place in range(len(values))]


ALONE = Ranks()


def _digest(value: Tensor) -> str:
    plain = value.detach().cpu().contiguous()
    return sha256(plain.view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def _device() -> torch.device:
    """Returns the device of exchanged numbers: NCCL's are on the GPU."""
    nccl = distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")


def join_ranks(device: str) -> Ranks:
    """Joins the other processes of a run, if torchrun started this one, or the caller joined them.

    NCCL joins GPUs, of which each process takes the one with its local number; gloo joins CPUs.
    """
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    count = os.environ.get("WORLD_SIZE", "1")
    if count in ("", "1"):
        check_alone()
        return ALONE
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        message = f"the variable WORLD_SIZE is {quoted(count)}, and {missing[0]} is not set"
        hint = "torchrun -m nasir search … sets them; or unset WORLD_SIZE"
        raise NasirError("E728", message, hint=hint)
    gpu = device.startswith("cuda")
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    store, rank, size = next(_distributed.rendezvous("env://"))
    # torchrun's store outlives a restart, with the addresses of processes that have ended.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = _distributed.PrefixStore(f"nasir {attempt}", store)
    backend = "nccl" if gpu else "gloo"
    _distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    atexit.register(_leave)
    return Ranks(rank, size)


def _leave() -> None:
    if distributed.is_initialized():
        _distributed.destroy_process_group()


_BROKEN = ("closed by peer", "reset by peer", "broken pipe", "timed out", "timeout", "nccl")


def lost_rank(error: BaseException) -> NasirError | None:
    """Returns the error to raise if another process of the run is gone, else None."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    text = str(error).lower()
    known = isinstance(error, _distributed.DistError) or any(part in text for part in _BROKEN)
    if not known:
        return None
    message = "another process of the run ended"
    hint = "the last checkpoint is valid: --resume, with any number of processes"
    return NasirError("E745", message, hint=hint)
