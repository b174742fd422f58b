"""The parts of a stand-alone file that are the same in every one, but for `@marks@`."""

IMPORTS = """\
import json
import math
import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    """What is common to `c03.pre0.bn.bias`, a path here, and `c03/pre0/bn.bias`, the file's key."""
    return re.sub(r"\\W", "_", name)
'''

MAIN = """\
if __name__ == "__main__":
    with torch.no_grad():
        results = load()(@images@)
    print(@shape@)
"""
