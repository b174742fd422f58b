"""The docstring of a stand-alone file: what it is, what it costs, how it is used."""

import re
import textwrap

import nasir
from lowering.python.forward import WIDTH, broken
from lowering.python_text import docstring, identifier
from nasir import Graph, NasirError, cost, dump_genotype, load_genotype
from nasir.errors import visible
from nasir.passes.rewriting import given_inputs
from nasir.types import ImageType, SequenceType, TokenType, Type, WeightsType

_UNITS = {
    **{key: key for key in ("channels", "layers", "classes")},
    "vocabulary": "words",
    "hidden": "hidden units",
}


def write_docstring(graph: Graph, stem: str) -> str:
    """The module's docstring, with the quotes."""
    about = graph.about
    name, space = _one_line(about.get("name", "")), _one_line(about.get("space", ""))
    name = f"{name}, edited" if name and "edited" in about else name
    title = f"{name}, a network" if name else "A network"
    title += f" of the space {space}" if space else ""
    text = [
        _wrapped(f"{title}, as a file that needs only torch.", first=3),
        _wrapped(f"{_skeleton(graph)}{_sizes(graph)}"),
        _usage(graph, stem),
        _genotype(graph),
        f"Written by nasir {nasir.__version__}.",
    ]
    return docstring("\n\n".join(part for part in text if part) + "\n") + "\n"


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _skeleton(graph: Graph) -> str:
    about = graph.about
    if "skeleton" not in about:
        return ""
    sizes = [f"{about[key]} {unit}" for key, unit in _UNITS.items() if key in about]
    text = f"Skeleton {about['skeleton']}: {', '.join(sizes)}. "
    return _one_line(text) + " "


def _sizes(graph: Graph) -> str:
    """Parameters and multiply-adds of what the file computes."""
    found = cost(graph)
    example = "token" if _reads_tokens(graph) else "image"
    text = f"{found.params:,} parameters, {found.macs:,} multiply-adds for one {example}"
    if found.auxiliary is None:
        return f"{text}."
    more = f"{found.auxiliary.params:,} parameters and {found.auxiliary.macs:,} multiply-adds"
    return f"{text}; the auxiliary head, in training only, has {more} more."


def _usage(graph: Graph, stem: str) -> str:
    shapes = ", ".join(_shape(type_) for _, type_ in given_inputs(graph))
    results = ", ".join(_shape(graph.types[x]) for x in graph.outputs)
    plural = [(name, isinstance(type_, ImageType)) for name, type_ in given_inputs(graph)]
    names = ", ".join(f"{identifier(name)}{'s' * image}" for name, image in plural)
    found = ", ".join(map(identifier, graph.words("outputs"))) or "logits"
    start = [f"    from {stem} import load\n"] if stem == identifier(stem) else []
    load = "    network = load()  # in evaluation mode; network.train() to go on training"
    call, comment = f"{found} = network({names})", f"# {shapes} -> {results}"
    lines = [f"    {call}  {comment}"]
    if len(lines[0]) > WIDTH:
        lines = [_wrapped(f"    {comment}", hang="    # "), *broken(call, 4)]
    where = _one_line(f"The weights are in {stem}.safetensors, beside this file.")
    return "\n".join([*start, load, *lines]) + f"\n\n{where}"


def _reads_tokens(graph: Graph) -> bool:
    return any(isinstance(type_, TokenType) for _, type_ in graph.inputs)


def _shape(type_: Type) -> str:
    """The shape of a batch; T is the number of steps."""
    weights, steps = isinstance(type_, WeightsType), isinstance(type_, (TokenType, SequenceType))
    lead = "" if weights else "TN" if steps else "N"
    return f"({', '.join(map(str, (*lead, *type_.shape)))})"


def _genotype(graph: Graph) -> str:
    text = graph.about.get("genotype", "")
    if not text:
        return "Edited by hand: no genotype describes it." if "edited" in graph.about else ""
    for name in ("nasbench201", "darts"):
        try:
            found = _one_line(dump_genotype(load_genotype(text), name))
        except NasirError:
            continue
        # A pair (op, source) stays on one line.
        whole = re.sub(r"', (?=\d)", "',\0", found)
        return _wrapped(whole, hang="    ").replace("\0", " ")
    return text.strip()


def _wrapped(text: str, first: int = 0, hang: str = "") -> str:
    lines = textwrap.wrap(
        " " * first + text,
        WIDTH,
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).removeprefix(" " * first)
