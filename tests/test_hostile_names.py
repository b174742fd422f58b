"""Whatever a name is, generated text only names it: nothing runs, breaks or computes another thing.

`-s` prints how many names each target took, and how many it refused by an error of nasir's own.
"""

import ast
import builtins
import io
import json
import keyword
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import torch
from torch import Tensor

import lowering
import nasir
from lowering.onnx import OnnxNetwork
from lowering.python_text import CLASSES, Names, class_name, docstring, identifier, literal
from nasir import CellGenotype, Edge, Genotype, Graph, NasirError, errors
from nasir.errors import Where, quoted
from nasir.node import At, Cell
from nasir.ops import ParamRef
from nasir.passes import PLAIN
from tests.gate import gated

CANARY = "nasir_canary"
RUNS = f"__import__('builtins').__dict__.update({CANARY}=1)"
MARKS = [
    f'"""\n{RUNS}\n"""',
    f"x;{RUNS};y",
    f"'+{RUNS}+'",
    f'"+{RUNS}+"',
    f"\\\n{RUNS}#",
    f'\\"""+{RUNS}+"""',
    "a\nb\r\nc\td",
    "\0\x1b[31m\x07\x7f\x9b",
    "\u202eabc\u2066\u200f\u2028\u2029\ufeff",
    "\ud800",
    "</script><svg onload=alert(1)>&amp;&lt;]]>-->",
    "[bold red]x[/] :smile:",
    "$\\frac$",
    "${x}$ {} {0} %s %n `x` | *x* _y_ # ~~z~~",
    "\\N\\G\\l\\",
    "",
    "   ",
    "0123",
    "-",
    "_",
    "x" * 10_000,
    "名前 é ﬁ x² ß",
]
WORDS = [
    *keyword.kwlist,
    *keyword.softkwlist,
    *("__class__", "__init__", "__debug__", "__dict__", "__getattr__", "__name__"),
    *("F", "torch", "nn", "Tensor", "forward", "self", "super", "DTYPES", "KEYS", "f", "x", "x0"),
    *("Network", "Path", "load", "read_tensors", "_tensor", "_plain", "re", "json", "math", "inf"),
    *("int", "type", "print", "ValueError", "sum", "training", "T_destination", "drop_path"),
    *("step", "channels", "stride", "image", "logits", "input", "output", "meta", "body", "end"),
    *("Mean", "DropPath", "weight", "bias", "state_dict", "device", "lowering_torch_conv_margin"),
]
QUICK = [
    *MARKS,
    "lambda",
    "None",
    "__class__",
    "F",
    "torch",
    "forward",
    "self",
    "x0",
    "DTYPES",
    "f",
]
TABLE: Counter[tuple[str, str]] = Counter()
refusals: list[list[str]] = []
"""The lines of each error."""


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    """Prints the counts at the end."""
    yield
    rows = (
        f"{name:24} {TABLE[name, 'taken']:6} taken {TABLE[name, 'refused']:6} refused"
        for name in dict.fromkeys(name for name, _ in TABLE)
    )
    sys.stdout.write("\n".join(("", *rows, "")))


@pytest.fixture(autouse=True)
def _nothing_ran() -> Iterator[None]:
    yield
    assert not hasattr(builtins, CANARY)
    assert all(len(lines) <= 4 and all(map(str.isprintable, lines)) for lines in refusals)


def counted(target: str, make: Callable[[], Any]) -> Any:
    """What `make` returns; None where it raises nasir's own error, which is one line."""
    try:
        found = make()
    except NasirError as error:
        TABLE[target, "refused"] += 1
        refusals.append(str(error).split("\n"))
        return None
    TABLE[target, "taken"] += 1
    return found


def short(name: str) -> str:
    """A name as the identity of a test."""
    return ascii(name)[:32]


def fitted(name: str) -> str:
    """The name as the text form of a graph can hold it, as near as may be."""
    found = re.sub(r"[\s(){}\[\]=,:\"\ud800-\udfff]", "\\\\", name)
    return found if re.match("[A-Za-z_]", found) else f"n{found}"


TAME = """\
nasir graph 1
input image: image[3,8,8]
stem = conv2d(image) {out=4, kernel=3}: image[4,8,8]
c0/a = conv2d(stem) {out=4, kernel=3, bias=true}: image[4,8,8] in kind c0
c0/b = tanh(c0/a): image[4,8,8] in kind c0
c0/c = mean(c0/a, c0/b): image[4,8,8] in kind c0
c1/a = conv2d(c0/c) {out=8, kernel=3, bias=true}: image[8,8,8] in kind c1
c1/b = tanh(c1/a): image[8,8,8] in kind c1
c1/c = mean(c1/a, c1/b): image[8,8,8] in kind c1
c2/a = conv2d(c1/c) {out=6, kernel=1}: image[6,8,8] in other c2
c2/b = batch_norm(c2/a): image[6,8,8] in other c2
p/d = conv2d(c2/b) {out=6, kernel=1}: image[6,8,8]
p/e = batch_norm(p/d): image[6,8,8]
q = conv2d(p/e) {out=5, kernel=1}: image[5,8,8]
output q
"""
MARK = ("", "_", "-", ".", "/", "+", "_2", "-2")
"""What follows a name, so that names differ here and may be equal in a target."""


def renamed(graph: Graph, name: str) -> Graph:
    """The graph, with names made of this one; the cells' nodes below the cells' names."""
    cells = {cell.name: f"{name}{MARK[i]}" for i, cell in enumerate(graph.cells)}
    kinds = {"kind": name, "other": f"{name}_"}
    found: dict[str, str] = {"image": f"{name}|"}
    for node in graph.nodes:
        cell, _, last = node.name.rpartition("/")
        at = {"a": "", "b": "_", "c": "-"}.get(last, "")
        below = f"{cells[cell]}/{name}{at}" if cell in cells else ""
        found[node.name] = below or f"{name}{MARK[4] * (last == 'e')}{last}"
    found["q"] = f"{name}#"
    return replace(
        graph,
        nodes=tuple(
            replace(
                node,
                name=found[node.name],
                inputs=tuple(found[x] for x in node.inputs),
                params=tuple(_key(ref, node.name, found) for ref in node.params),
                at=node.cell and At(Cell(kinds[node.cell.kind], cells[node.cell.name])),
            )
            for node in graph.nodes
        ),
        inputs=tuple((found[x], type_) for x, type_ in graph.inputs),
        outputs=tuple(found[x] for x in graph.outputs),
    )


def _key(ref: ParamRef, node: str, found: dict[str, str]) -> ParamRef:
    return replace(ref, key=ref.key.replace(node, found[node], 1))


def answers(graph: Graph, folder: Path, slow: bool) -> dict[str, Tensor]:
    """What each target computes of a graph with weights by position; a refusal is left out."""
    image = torch.linspace(-1, 1, 2 * 3 * 64).reshape(2, 3, 8, 8)
    found: dict[str, Any] = {}
    state = {
        ref.key: torch.linspace(0.1, 0.6, math.prod(ref.shape)).reshape(ref.shape) + 0.01 * i
        for i, ref in enumerate(nasir.run_passes(graph, PLAIN)[0].params)
    }

    def torch_of(**how: Any) -> Callable[[], Tensor]:
        def run() -> Tensor:
            module = lowering.to_torch(graph, **how)
            module.load_state_dict(state)
            found["module"] = module
            value: Tensor = module.eval()(image)
            value = value + module.train()(image)
            return (value + module.call_apart(tuple(module.parameters()), image)).detach()

        return run

    rows: dict[str, Callable[[], Tensor]] = {"torch": torch_of()}
    rows["torch, memory=cells"] = torch_of(memory="cells")
    if slow:
        rows["torch, memory=states"] = torch_of(memory="states")
        rows["torch, optimise=False"] = torch_of(optimise=False)
    holder = _Weights(state)

    def python() -> Tensor:
        path, _ = lowering.to_python(graph, holder, folder / "net.py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [
            each.name for each in tree.body if isinstance(each, (ast.ClassDef, ast.FunctionDef))
        ]
        assert len(named) == len(set(named))
        network = lowering.load_python(path)
        return (network(image) + network.train()(image)).detach()

    rows["Python file"] = python
    for inline in (False, True) if slow else (False,):

        def onnx(inline: bool = inline) -> Tensor:
            path = lowering.to_onnx(graph, holder, folder / "net.onnx", inline=inline)
            return OnnxNetwork(path)(image)

        rows[f"ONNX{', inline' * inline}"] = onnx
    values = {target: counted(target, row) for target, row in rows.items()}
    text = counted("graph text", lambda: nasir.print_graph(graph).encode().decode())
    if text is not None:
        assert nasir.parse_graph(text) == graph
    return {target: value for target, value in values.items() if value is not None}


class _Weights(torch.nn.Module):
    """A module with nothing but a state."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.state = state

    def state_dict(self, *_args: object, **_options: object) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.state


@pytest.fixture(scope="module")
def tame(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return answers(nasir.parse_graph(TAME), tmp_path_factory.mktemp("tame"), slow=True)


def agree(found: dict[str, Tensor], tame: dict[str, Tensor]) -> None:
    for target, value in found.items():
        assert torch.allclose(value, tame[target], atol=1e-6), target


@pytest.mark.parametrize("name", QUICK, ids=short)
def test_a_graph_computes_the_same_whatever_its_nodes_and_cells_are_called(
    name: str, tmp_path: Path, tame: dict[str, Tensor]
) -> None:
    found = answers(renamed(nasir.parse_graph(TAME), fitted(name)), tmp_path, slow=False)
    agree(found, tame)
    assert set(found) >= {"Python file", "ONNX"}, "only torch's modules have names of their own"


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_a_graph_computes_the_same_by_every_target(
    name: str, tmp_path: Path, tame: dict[str, Tensor]
) -> None:
    found = answers(renamed(nasir.parse_graph(TAME), fitted(name)), tmp_path, slow=True)
    agree(found, tame)
    assert set(found) >= {"Python file", "ONNX", "ONNX, inline"}


@pytest.mark.parametrize("name", MARKS, ids=short)
def test_facts_and_titles_of_a_graph_stay_text(
    name: str, tmp_path: Path, tame: dict[str, Tensor]
) -> None:
    keys = ("name", "space", "skeleton", "outputs", "genotype", "edited", "channels")
    graph = replace(nasir.parse_graph(TAME), meta=tuple((key, name) for key in keys))
    agree(answers(graph, tmp_path, slow=False), tame)
    tree = ast.parse((tmp_path / "net.py").read_text(encoding="utf-8"))
    assert (ast.get_docstring(tree) or "").replace("\n", "").isprintable()


def space(kind: str, op: str, title: str, step: str) -> str:
    """A genotype whose space names everything so."""
    steps = [
        {"op": "conv2d", "name": step, "out": "C", "kernel": 1, "stride": "stride"},
        {"op": "tanh"},
    ]
    cells = {
        kind: {"inputs": 2, "nodes": 2, "ops": [op, "skip_connect"], "keep": 2, "output": [2, 3]},
        "reduce": {"like": kind},
    }
    chosen = {"inputs": 2, "nodes": [[[op, 0], ["skip_connect", 1]], [[op, 1], [op, 2]]]}
    own = {
        "nasir": 1,
        "space": "own",
        "title": title[:150],
        "skeleton": "cifar",
        "ops": {op: {"title": title, "steps": steps}},
        "layout": {"pattern": [kind], "places": {"reduce": ["1/3", "2/3"]}, "halves": ["reduce"]},
        "cells": cells,
    }
    found = {kind: chosen | {"output": [2, 3]}, "reduce": chosen | {"output": [2, 3]}}
    return json.dumps({"nasir": 1, "genotype": {"name": title, "space": own, "cells": found}})


def computed(text: str, folder: Path) -> tuple[Tensor, ...]:
    """A space's supernet, and a network of it in torch and from its file."""
    genotype = nasir.load_genotype(text)
    graph = nasir.network(genotype, channels=4, layers=3)
    torch.manual_seed(0)
    image = torch.randn(2, 3, 32, 32)
    module = lowering.to_torch(graph)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.copy_(torch.linspace(-0.3, 0.4, value.numel()).reshape(value.shape).abs() + 0.01)
    path, _ = lowering.to_python(graph, module.eval(), folder / "net.py")
    whole = nasir.supernet(
        nasir.load_space(json.dumps(json.loads(text)["genotype"]["space"])), channels=4, layers=3
    )
    mixed = lowering.to_torch(whole, memory="cells")
    with torch.no_grad():
        for parameter in mixed.parameters():
            parameter.fill_(0.1)
    mixture = {c.name: torch.full((len(c.options),), 1 / len(c.options)) for c in whole.choices}
    return module(image), lowering.load_python(path)(image), mixed(image, mixture).detach()


@pytest.mark.parametrize(
    "name",
    gated(["lambda", "f", "torch", "forward", "None", "self", "Network"], ["lambda", "f", "None"]),
)
def test_kinds_ops_and_steps_of_a_space_may_have_any_name(name: str, tmp_path: Path) -> None:
    expected = computed(space("plain", "own_op", "tame", "conv"), tmp_path)
    text = space(name, name.lower() if name == "None" else name, "   ", name)
    for found, value in zip(computed(text, tmp_path), expected, strict=True):
        assert torch.allclose(found, value, atol=1e-6)
    TABLE["spaces", "taken"] += 1


@pytest.mark.parametrize("name", MARKS, ids=short)
def test_a_hostile_kind_op_or_step_is_refused_in_printable_lines(name: str) -> None:
    for place in ("kind", "op", "step"):
        names = {"kind": "plain", "op": "own_op", "title": "tame", "step": "conv"} | {place: name}
        assert counted("spaces", lambda names=names: nasir.load_genotype(space(**names))) is None


@pytest.mark.parametrize("name", MARKS, ids=short)
def test_a_drawing_of_a_cell_names_its_ops_as_text(name: str) -> None:
    cell = CellGenotype("normal", 1, ((Edge(name, 0),), (Edge("b", 0), Edge(name, 1))), (1, 2))
    tree = ET.fromstring(nasir.draw(Genotype("darts", (cell,), name=name)).svg)
    texts = [each.text or "" for each in tree.iter() if each.tag.endswith(("text", "title"))]
    assert texts.count(errors.shortened(name)) >= 2 * bool(name)
    assert {each.tag.rpartition("}")[2] for each in tree.iter()} <= {
        *("svg", "title", "style", "path", "rect", "text", "tspan"),
    }
    TABLE["SVG", "taken"] += 1


@pytest.mark.parametrize("name", [*MARKS, *WORDS], ids=short)
def test_each_target_reads_its_own_quotation_back(name: str) -> None:
    shown = errors.visible(name)
    assert shown.isprintable()
    assert ast.literal_eval(literal(name)) == name
    assert ast.literal_eval(docstring(name)) == "\n".join(map(errors.visible, name.split("\n")))
    assert json.loads(errors.json_text({name: [name]}, indent=1)) == {name: [name]}
    assert errors.json_text(name).isprintable()
    element = ET.fromstring(f'<a b="{errors.xml(name)}">{errors.xml(name)}</a>')
    assert element.text in (errors.visible_lines(name), None if not name else "")
    assert len(errors.file_stem(name)) <= errors.NAME_LENGTH
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|]", errors.markdown(name))
    for found in (identifier(name), Names(CLASSES).fresh(class_name(name))):
        assert found.isidentifier()
        assert found.isascii()
        assert not keyword.iskeyword(found)
        assert not found.startswith("__")
    assert len(quoted(name).splitlines()) == 1
    error = str(NasirError("E104", name, Where(f"{name}.json", 1, 1, name), name))
    assert all(line.startswith("  ") for line in error.splitlines()[1:])
    TABLE["quotations", "taken"] += 1


def test_names_that_become_equal_are_told_apart() -> None:
    names = Names()
    found = [names.fresh(identifier(name)) for name in ("a b", "a-b", "a_b", "a_b_2", "A b")]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("tty", [False, True])
def test_what_commands_print_moves_no_cursor(tty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from runners import output

    for name in MARKS:
        stream = io.StringIO()
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setattr(stream, "isatty", lambda: tty, raising=False)
        monkeypatch.setenv("TERM", "dumb")
        output.print_line(name)
        output.print_json({name: name})
        output.print_table(output.TextTable(name, (name, "b"), ((name, 1),)))
        if tty:
            output.print_text(name)
        assert stream.getvalue().replace("\n", "").isprintable(), ascii(name)
        TABLE["terminal", "taken"] += 1
