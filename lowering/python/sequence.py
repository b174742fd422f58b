"""Tokens and sequences as Python. A body is a class that loops over time."""

from lowering.python.body import Body, Line
from lowering.python.code import Code, call, statement, text
from lowering.python.names import Names, class_name, identifier
from lowering.python.numbers import Numbers
from lowering.python.rule import Rule, Site
from nasir import Graph, NasirError, Node
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
    vocabulary = getattr(site.types[site.nodes[0].inputs[0]], "vocabulary")  # noqa: B009
    return call("nn.Embedding", str(vocabulary), site.width("out"))


def _word_dropout(site: Site) -> Code:
    return call("WordDropout", str(site.attr("vocabulary")), repr(site.attr("rate")))


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
    """The class of a node's body: the node has it alone."""
    body = node.body
    assert body is not None
    return class_name(f"{body.about.get('cell', 'body')}_{node.name}")


def write_body(node: Node) -> str:
    """The class of a body: its weights, one step, and the loop."""
    from lowering.python.rules import rule  # which has the rules of this file

    body = node.body
    assert body is not None
    if body.bodies:
        raise NasirError("E306", f"Python has no rule for a graph inside the body of '{node.name}'")
    numbers = Numbers(Names())
    made: dict[str, Code] = {}
    lines: list[Line] = []
    for inner in body:
        found = rule(inner.op)
        attribute = identifier(
            inner.params[0].key.rpartition(".")[0] if inner.params else inner.name
        )
        site = Site((inner,), body.types, numbers, held=True)
        if found.layer is not None:
            made[attribute] = found.layer(site)
        lines.append(_line(inner, site, attribute))
    members = [row for name, code in made.items() for row in statement(f"self.{name} = ", code, 8)]
    head = [
        f"class {_class_of(node)}(nn.Module):",
        f'    """The {identifier(body.about.get("cell", "body"))} cell, and its loop over time."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *members,
        "",
        *_step(body, lines),
        "",
    ]
    return "\n".join(head) + "\n" + _LOOP


def _line(node: Node, site: Site, attribute: str) -> Line:
    from lowering.python.rules import rule

    found = rule(node.op)
    return Line(
        node.inputs,
        (node.name,),
        (identifier(node.name),),
        lambda inputs: found.use(site, inputs, attribute),
        movable=not node.has("random"),
        activation=node.has("elementwise") and len(node.inputs) == 1,
    )


def _step(body: Graph, lines: list[Line]) -> list[str]:
    """The method that computes the next state."""
    variables = {name: identifier(name) for name, _ in body.inputs}
    arguments = ", ".join(f"{name}: Tensor" for name in variables.values())
    written = Body(lines, variables, Names(set(variables.values())))
    written.decide(body.outputs)
    return [
        f"    def step(self, {arguments}) -> Tensor:",
        *written.write(8, body.outputs, reuse=False),
    ]


RULES = (
    Rule(EMBEDDING, layer=_embedding),
    Rule(WORD_DROPOUT, layer=_word_dropout, helper=_WORDS),
    Rule(DROPOUT_MASK, layer=_mask, helper=_MASK),
    Rule(MASKED, forward=_masked),
    Rule(SCAN, layer=_scan, helper=write_body),
    Rule(LAST, forward=_last),
    Rule(DECODER, layer=_decoder),
    Rule(LOG_SOFTMAX, forward=_log_softmax),
)
