"""A picture of a cell as DOT, the language of Graphviz."""

from nasir.draw.picture import FILL, picture
from nasir.genotype import CellGenotype
from nasir.quoting import dot

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
