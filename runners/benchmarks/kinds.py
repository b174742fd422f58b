"""The benchmarks that nasir knows, and the key under which each keeps an architecture."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from nasir import Genotype, NasirError, dump_genotype, nasbench101_hash
from nasir.errors import nearest, quoted
from nasir.table import Table
from nasir.wanted import checked


@dataclass(frozen=True, slots=True)
class Kind:
    """One benchmark: how its keys look, and the key of a genotype.

    `indexed`: its architectures have numbers, from 0. `key` raises E208 for a genotype that is
    not of its space.
    """

    name: str
    title: str
    keys: re.Pattern[str]
    indexed: bool
    key: Callable[[Genotype], str]

    @checked
    def key_of(self, architecture: str | Genotype) -> str:
        """The key of a genotype, or of its text; a key itself. Raises E208 and TypeError."""
        return architecture if isinstance(architecture, str) else self.key(architecture)


def _string(genotype: Genotype) -> str:
    return dump_genotype(genotype, "nasbench201")


def _widths(genotype: Genotype) -> str:
    return dump_genotype(genotype, "natsbench_size")


_OP = "(?:none|skip_connect|nor_conv_1x1|nor_conv_3x3|avg_pool_3x3)"
_CELL = rf"\|{_OP}~0\|\+\|{_OP}~0\|{_OP}~1\|\+\|{_OP}~0\|{_OP}~1\|{_OP}~2\|"

KINDS: Table[Kind] = Table(
    Kind("nasbench201", "NAS-Bench-201", re.compile(_CELL), indexed=True, key=_string),
    Kind(
        "nasbench101",
        "NAS-Bench-101",
        re.compile(r"[0-9a-f]{32}"),
        indexed=False,
        key=nasbench101_hash,
    ),
    Kind(
        "natsbench_size",
        "NATS-Bench, size space",
        re.compile(r"[0-9]{1,4}(?::[0-9]{1,4}){1,15}"),
        indexed=True,
        key=_widths,
    ),
)


def kind_named(name: str) -> Kind:
    """The benchmark of that name. Raises E602."""
    if name not in KINDS:
        message = f"unknown benchmark {quoted(name)}"
        raise NasirError("E602", message, hint=nearest(name, KINDS))
    return KINDS[name]


def kind_of_key(key: str) -> Kind | None:
    """The benchmark whose keys look like this one."""
    return next((kind for kind in KINDS.values() if kind.keys.fullmatch(key)), None)
