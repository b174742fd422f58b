"""The commands of `nasir`: a row is the function of that name in the module of that name.

Reading the table imports no command, and no command imports torch before it runs.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table: what `nasir --help` says of a command."""

    name: str
    summary: str


_ROWS = (
    Command("compile", "Compile a genotype: a network, ONNX, Python, drawings."),
    Command("search", "Search a space with a method, on data."),
    Command("evaluate", "Train a genotype's network from scratch, and measure it."),
    Command("test", "Measure a trained network on held-out data."),
    Command("replay", "Do a run again and check that it gives the same."),
    Command("recipes", "List the recipes of evaluations, or show one."),
    Command("methods", "List the search methods, or show the parts of one."),
    Command("import-weights", "Translate weights of an original implementation."),
    Command("convert", "Convert a genotype from one file format to another."),
    Command("show", "Print a network's graph as text, after any pass."),
    Command("draw", "Draw a genotype's cells."),
    Command("cost", "Count parameters, multiply-adds and activations."),
    Command("check", "Check genotype, space and graph files."),
    Command("diff", "Compare two genotypes: edges, ops and cost."),
    Command("sample", "Draw genotypes from a search space."),
    Command("id", "Print the canonical id of genotypes."),
    Command("plot", "Draw the figures of a run."),
    Command("query", "Look an architecture up in a benchmark."),
    Command("bench", "Import a benchmark into a store, or show a store."),
    Command("spaces", "List the search spaces, or the published genotypes."),
    Command("examples", "Copy the example files to a directory."),
    Command("ops", "List the ops, or show what one consists of."),
    Command("doctor", "Say what works on this machine."),
)

# Not a nasir.Table: importing nasir costs more than all of `nasir --help`.
COMMANDS = {row.name: row for row in _ROWS}
assert len(COMMANDS) == len(_ROWS), "a command occurs twice"
