"""Tokens and sequences as Python. A body is a class that loops over time."""

import re
import zlib

from lowering.python.body import CodeLine, CodeWriter
from lowering.python.code import Code, call, signature, statement, text
from lowering.python.numbers import Numbers
from lowering.python.rule import PythonRule, Site, attributes, class_of
from lowering.python_text import CLASSES, Names, class_name, docstring, identifier
from nasir import Graph, NasirError, Node, Type
from nasir.ops.sequence import (
    DECODER,
    DROPOUT_MASK,
    EMBEDDING,
    LAST,
    LOG_SOFTMAX,
    MASKED,
    SCAN,
    WORD_DROPOUT,
)
from nasir.types import TokenType

_MASK = '''\
class DropoutMask(nn.Module):
    """In training one draw for each example and unit, the same at every step; else ones."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.keep = 1 - rate

    def forward(self, like: Tensor) -> Tensor:
        if not self.training:
            return torch.ones(like.shape[-2:], dtype=like.dtype, device=like.device)
        draw = torch.rand(like.shape[-2:], device=like.device)
        return (draw < self.keep).to(like.dtype) / self.keep
'''

_WORDS = '''\
class WordDropout(nn.Module):
    """In training, drops some words of the vocabulary wherever they occur."""

    def __init__(self, vocabulary: int, rate: float) -> None:
        super().__init__()
        self.vocabulary, self.keep = vocabulary, 1 - rate

    def forward(self, words: Tensor, tokens: Tensor) -> Tensor:
        if not self.training:
            return words
        draw = torch.rand(self.vocabulary, 1, device=words.device)
        return words * F.embedding(tokens, (draw < self.keep).to(words.dtype) / self.keep)
'''

_LOOP = """\
    def forward(self, sequence: Tensor, state: Tensor, *constants: Tensor) -> Tensor:
        states = []
        for x in sequence:
            state = self.step(x, state, *constants)
            states.append(state)
        return torch.stack(states)
"""


def _embedding(site: Site) -> Code:
    words = tuple(_vocabulary(site.types[node.inputs[0]]) for node in site.nodes)
    return call("nn.Embedding", site.number(words, "vocabulary"), site.width("out"))


def _vocabulary(type_: Type) -> int:
    assert isinstance(type_, TokenType)
    return type_.vocabulary


def _word_dropout(site: Site) -> Code:
    return call("WordDropout", site.integer("vocabulary"), repr(site.attr("rate")))


def _mask(site: Site) -> Code:
    return call("DropoutMask", repr(site.attr("rate")))


def _masked(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return Code("*", inputs)


def _scan(site: Site) -> Code:
    return call(_class_of(site.nodes[0]))


def _last(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return text(f"{inputs[0]}[-1]")


def _decoder(site: Site) -> Code:
    return call("nn.Linear", site.channels(), site.width("out"))


def _log_softmax(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return call("F.log_softmax", inputs[0], "dim=-1")


def _class_of(node: Node) -> str:
    """The class of a node's body: the node has it alone.

    A number of the name follows where `class_name` does not keep different names apart.
    """
    from lowering.python.rules import RULES

    body = node.body
    assert body is not None
    helpers = {class_of(row.helper) for row in RULES.values() if isinstance(row.helper, str)}
    name = f"{body.about.get('cell', 'body')}_{node.name}"
    found = class_name(name)
    apart = re.fullmatch(r"[a-z]+(_[a-z]+)*", name) and found not in CLASSES | helpers
    return found if apart else f"{found}_{zlib.crc32(name.encode()):08x}"


def layer_names(body: Graph) -> dict[str, str]:
    """The attribute of each node's layer, by the node's name; equal weights share one."""
    names = attributes("step")
    layers: dict[object, str] = {}
    found: dict[str, str] = {}
    for node in body:
        keys = tuple(ref.key for ref in node.params)
        stem = keys[0].rpartition(".")[0] if keys else node.name
        same = (node.op, keys) if keys else node.name
        if same not in layers:
            layers[same] = names.fresh(identifier(stem))
        found[node.name] = layers[same]
    return found


def write_body(node: Node) -> str:
    """The class of a body: its weights, one step, and the loop."""
    from lowering.python.rules import rule  # which has the rules of this file

    body = node.body
    assert body is not None
    if body.bodies:
        raise NasirError("E306", f"Python has no rule for a graph inside the body of '{node.name}'")
    numbers = Numbers(Names())
    made: dict[str, Code] = {}
    lines: list[CodeLine] = []
    layers = layer_names(body)
    for inner in body:
        found, attribute = rule(inner.op), layers[inner.name]
        site = Site((inner,), body.types, numbers, held=True)
        if found.layer is not None:
            made[attribute] = found.layer(site)
        lines.append(_line(inner, site, attribute))
    members = [row for name, code in made.items() for row in statement(f"self.{name} = ", code, 8)]
    summary = f"The {body.about.get('cell', 'body')} cell, and its loop over time."
    head = [
        f"class {_class_of(node)}(nn.Module):",
        f"    {docstring(summary)}",
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *members,
        "",
        *_step(body, lines),
        "",
    ]
    return "\n".join(head) + "\n" + _LOOP


def _line(node: Node, site: Site, attribute: str) -> CodeLine:
    from lowering.python.rules import rule

    found = rule(node.op)
    return CodeLine(
        node.inputs,
        (node.name,),
        (identifier(node.name),),
        lambda inputs: found.use(site, inputs, attribute),
        movable=not node.has("random"),
        activation=node.has("elementwise") and len(node.inputs) == 1,
    )


def _step(body: Graph, lines: list[CodeLine]) -> list[str]:
    """The method that computes the next state."""
    names = Names()
    variables = {name: names.fresh(identifier(name)) for name, _ in body.inputs}
    arguments = [f"{name}: Tensor" for name in variables.values()]
    written = CodeWriter(lines, variables, names)
    written.decide(body.outputs)
    return [
        *signature("step", arguments, "Tensor"),
        *written.write(8, body.outputs, reuse=False),
    ]


RULES = (
    PythonRule(EMBEDDING, layer=_embedding),
    PythonRule(WORD_DROPOUT, layer=_word_dropout, helper=_WORDS),
    PythonRule(DROPOUT_MASK, layer=_mask, helper=_MASK),
    PythonRule(MASKED, forward=_masked),
    PythonRule(SCAN, layer=_scan, helper=write_body),
    PythonRule(LAST, forward=_last),
    PythonRule(DECODER, layer=_decoder),
    PythonRule(LOG_SOFTMAX, forward=_log_softmax),
)
