"""Names of the graph as Python identifiers."""

import builtins
import keyword
import re

from torch import nn

_MODULE = frozenset(dir(nn.Module())) | {"training"}
_RESERVED = frozenset(dir(builtins)) | {"self", "torch", "nn", "F", "re", "json", "math"}
CLASSES = frozenset({"Network", "Path", "Tensor", "True", "False", "None"})


def identifier(name: str) -> str:
    """The name with `_` for every character that an identifier cannot have."""
    text = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not text or text[0].isdigit():
        text = f"_{text}"
    return f"{text}_" if keyword.iskeyword(text) or text in _RESERVED else text


def class_name(kind: str) -> str:
    """`sep_conv_3x3` as `SepConv3x3`; digits stay apart (`Conv7x1_1x7`)."""
    text = ""
    for part in re.split(r"[^A-Za-z0-9]+", kind):
        apart = text[-1:].isdigit() and part[:1].isdigit()
        text += f"{'_' if apart else ''}{part[:1].upper()}{part[1:]}"
    text = text or "Block"
    return f"Block{text}" if text[0].isdigit() else text


class Names:
    """Identifiers given out so far; it changes with every call."""

    def __init__(self, taken: frozenset[str] | set[str] = frozenset()) -> None:
        self._taken = set(taken)

    def fresh(self, wanted: str, mark: str = "_") -> str:
        """`wanted`, or the first of `wanted_2`, `wanted_3`, … that is free; `mark` joins them."""
        number, name = 1, wanted
        while name in self._taken:
            number += 1
            name = f"{wanted}{mark}{number}"
        self._taken.add(name)
        return name


def attributes() -> Names:
    """For the attributes of a module: none that `nn.Module` has itself."""
    return Names(_MODULE)
