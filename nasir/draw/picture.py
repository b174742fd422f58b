"""Pictures of cells: boxes and arrows that have no place yet, and DOT, Graphviz's language."""

from dataclasses import dataclass
from typing import Literal

from nasir.errors import DRAWN_LIMIT, Budget, dot, shortened
from nasir.genotype import CellGenotype

Role = Literal["input", "node", "output"]

FILL: dict[Role, str] = {
    "input": "darkseagreen2",
    "node": "lightblue",
    "output": "palegoldenrod",
}
"""The colours of the DARTS paper's figures (arXiv:1806.09055), by their Graphviz names."""


@dataclass(frozen=True, slots=True)
class Box:
    """A state of the cell."""

    label: str
    role: Role


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge between two boxes, by their indices; without a label it only hands a state on."""

    tail: int
    head: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes and the arrows between them; every arrow's tail comes before its head."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    title: str = ""


def picture(cell: CellGenotype, title: str = "") -> Picture:
    """The boxes and arrows of a cell.

    Nodes are numbered from 0. Where a single node is the cell's output, that node is the output
    box; otherwise plain arrows join the listed states in one. A recurrent cell begins with a node 0
    that joins the input and the hidden state, as in the DARTS paper. Ops that stand on nodes are
    written in the nodes' boxes; what the output reads then joins in a box of its own. Raises an
    error for more arrows than anybody could tell apart.
    """
    arrows_left = Budget(DRAWN_LIMIT, f"the drawing of cell '{cell.kind}'", "arrows")
    arrows_left.spend(sum(map(len, cell.nodes)) + len(cell.output))
    recurrent = cell.kind == "recurrent"
    lead = _recurrent_lead() if recurrent else Picture(_inputs(cell.inputs), ())
    shift = len(lead.boxes) - cell.inputs
    out = "h_{t}" if recurrent else "c_{k}"
    last = cell.output[0] if len(cell.output) == 1 and not cell.ops else -1
    boxes, arrows = list(lead.boxes), list(lead.arrows)
    for state, edges in enumerate(cell.nodes, start=cell.inputs):
        number = state - cell.inputs + (1 if recurrent else 0)
        label = shortened(cell.ops[state - cell.inputs]) if cell.ops else str(number)
        boxes.append(Box(out, "output") if state == last else Box(label, "node"))
        arrows += [Arrow(e.source + shift, state + shift, shortened(e.op)) for e in edges]
    if last < cell.inputs:
        boxes.append(Box(out, "output"))
        arrows += [Arrow(state + shift, len(boxes) - 1) for state in cell.output]
    return Picture(tuple(boxes), tuple(arrows), shortened(title))


def _inputs(count: int) -> tuple[Box, ...]:
    return tuple(Box(f"c_{{k-{count - index}}}", "input") for index in range(count))


def _recurrent_lead() -> Picture:
    boxes = (Box("x_{t}", "input"), Box("h_{t-1}", "input"), Box("0", "node"))
    return Picture(boxes, (Arrow(0, 2), Arrow(1, 2)))


HEADER = """\
digraph cell {
  graph [rankdir=LR, ranksep=0.3, nodesep=0.15, fontname="Helvetica"];
  node [shape=box, style="rounded,filled", height=0.4, fontname="Helvetica"];
  edge [fontname="Courier", fontsize=11];
"""


def dot_text(cell: CellGenotype, title: str = "", density: int | None = None) -> str:
    """The cell as DOT, laid out from left to right, for `density` dots an inch if that matters."""
    shown = picture(cell, title)
    lines = [f"  dpi={density};"] if density else []
    lines += [f"  label={dot(shown.title)}; labelloc=t;"] if shown.title else []
    for index, box in enumerate(shown.boxes):
        lines.append(f'  s{index} [label={dot(box.label)}, fillcolor="{FILL[box.role]}"];')
    for arrow in shown.arrows:
        label = f" [label={dot(arrow.label)}]" if arrow.label else ""
        lines.append(f"  s{arrow.tail} -> s{arrow.head}{label};")
    return HEADER + "\n".join([*lines, "}", ""])
