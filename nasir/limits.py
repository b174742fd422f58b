"""Limits of input and work, each for one file or call.

Work that grows with the product of several limited numbers is charged to a `Budget`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nasir.errors import NOWHERE, NasirError, Where

TEXT_LIMIT = 4 * 2**20
"""The largest text, in bytes; the largest real file is some hundred KiB."""

LOG_LIMIT = 64 * 2**20
"""The largest text in which genotypes are looked for, in bytes: logs of long searches."""

MODEL_LIMIT = 2 * 2**30
"""The largest ONNX model, in bytes: protobuf's own limit."""

YAML_LIMIT = 2**18
"""The largest YAML text, in characters: its parser is slow."""

VALUE_LIMIT = 2**18
"""The most values, keys and entries in a JSON text: a second of work, 100 MiB of places."""

YAML_VALUE_LIMIT = 2**14
"""The most values and keys in a YAML text, whose parser takes 25 to 100 µs for each."""

DEPTH_LIMIT = 64
"""The levels to which lists and mappings nest."""

NUMBER_LIMIT = 10**15
"""The largest magnitude of a number; far above any width, and exact as a float."""

CELL_NODE_LIMIT = 1000
"""The most nodes of a cell of a genotype."""

EDGE_LIMIT = 2**14
"""The most edges of a genotype, of all its cells together."""

GRAPH_TEXT_LIMIT = 2**24
"""The largest text of a graph, in characters."""

PRIMITIVE_LIMIT = 2**16
"""The most primitives of a network or of a graph's text, with those of a body at each application.

A supernet of DARTS with 100 cells has 44,000.
"""

OWN_OP_LIMIT = 2**11
"""The most primitives of one own op."""

OWN_OPS_LIMIT = 2**13
"""The most primitives of all own ops of a space together."""

OWN_OP_LEVELS = 3
"""The levels to which own ops use one another."""

BODY_LEVELS = 16
"""The levels to which the bodies of a graph nest."""

MEMBER_LIMIT = 2**16
"""The most genotypes of a space with `where` that are enumerated: about 20 seconds."""

DRAWN_LIMIT = 256
"""The most arrows of a drawing, whose layout takes time in proportion to their square."""

LIKE_LEVELS = 16
"""The longest chain of files of which each is `like` the next."""

LABEL_STEPS = 2**21
"""The most steps of a canonical numbering; a step visits an edge of a cell."""


@dataclass(slots=True)
class Budget:
    """A limit and the amount spent: `what` takes at most `limit` of the `unit`."""

    limit: int
    what: str
    unit: str
    hint: str = ""
    spent: int = 0

    def spend(self, count: int, where: Callable[[], Where] = lambda: NOWHERE) -> None:
        """Charges `count` units. Raises an error at `where` if the limit is exceeded."""
        self.spent += count
        if self.spent > self.limit:
            message = f"{self.what} takes more than {self.limit:,} {self.unit}"
            raise NasirError("E106", message, where(), self.hint)
