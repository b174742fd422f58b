"""Own ops of a space: compositions of primitives and macros, defined in files.

A definition is a title and a list of steps. A step is an op with its attributes; it reads the
previous step unless `from` names other steps (`input` is the input of the op itself). A step whose
`when` is false is skipped: its value is that of the previous step. The last step is the result.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast
from weakref import WeakValueDictionary

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)

from nasir.document import Path, read_json
from nasir.errors import (
    NOWHERE,
    OWN_OP_LEVELS,
    OWN_OP_LIMIT,
    OWN_OPS_LIMIT,
    Budget,
    NasirError,
    Where,
    json_text,
    nearest,
    quoted,
    unknown_op,
)
from nasir.expressions import Number, evaluate
from nasir.files import Source
from nasir.macros import ALL_OPS, EdgeAttrs
from nasir.node import Node
from nasir.ops import Macro, Op
from nasir.template import Scope, make_attrs, meaning, meaning_at, primitives, template

STEP_LIMIT = 32

_SCALAR = {"type": ["number", "boolean", "string"]}


def _value(value: object) -> object:
    """The value of an attribute: a number, true or false, an expression, or two of these."""
    if isinstance(value, (int, float, str)):
        return value
    pair = cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else ()
    if len(pair) != 2 or not all(isinstance(part, (int, float, str)) for part in pair):
        raise ValueError("must be a number, true, false, an expression, or two of these")
    return tuple(pair)


def _scalar(value: object) -> object:
    if not isinstance(value, (int, float, str)):
        raise ValueError("must be an expression, such as stride == 1")
    return value


def _names(value: object) -> object:
    if not isinstance(value, (str, list, tuple)):
        raise ValueError("must be the name of a step, or a list of them")
    return (value,) if isinstance(value, str) else cast("object", value)


Value = Annotated[
    Any,
    BeforeValidator(_value),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}),
]
Word = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,40}$")]
Line = Annotated[StrictStr, Field(pattern=r"^[^\x00-\x1f\x7f]{0,200}$")]


class StepModel(BaseModel):
    """A step of an own op. Further fields are the attributes of its op.

    They are numbers, or arithmetic over C (the channels of the own op's input), stride and affine.
    """

    model_config = ConfigDict(defer_build=True, extra="allow", frozen=True)
    # pydantic documents that this may be narrowed; its own type is that of any model.
    __pydantic_extra__: dict[str, Value]  # pyright: ignore[reportIncompatibleVariableOverride]

    op: StrictStr = Field(description="A primitive, a shipped op, or another own op.")
    name: Word | None = Field(default=None, description="The name that later steps read it by.")
    sources: Annotated[
        tuple[Word, ...],
        BeforeValidator(_names),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array"}]}),
    ] = Field(
        default=(),
        alias="from",
        description="What it reads: a step's name, `input`, or a list of them; by default the "
        "step before it.",
    )
    when: Annotated[Any, BeforeValidator(_scalar), WithJsonSchema(_SCALAR)] = Field(
        default=True,
        description="Where this is false the step is left out: its name means the step before it.",
    )

    @property
    def attributes(self) -> dict[str, Any]:
        """The op's attributes as written in the file."""
        return self.__pydantic_extra__


class OpModel(BaseModel):
    """An op that the space defines itself."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    title: Line = Field(default="", description="What the op does, in a few words.")
    steps: tuple[StepModel, ...] = Field(
        min_length=1, max_length=STEP_LIMIT, description="Its ops, in order."
    )


class Definition(OpModel):
    ops: dict[Word, "Definition"] = Field(default={}, description="The own ops that it uses.")


INPUT = "input"
"""The name of the own op's input in its steps."""

TRIAL: Mapping[str, Number] = {"C": 96, "stride": 1, "affine": True}
"""Values with which expressions are tried: channels of the input, attributes of the edge."""


@dataclass(frozen=True, eq=False)
class Composition:
    """The body of an own op. `names` are the steps' names, `ops` the ops by name.

    `primitives` is the number of primitives if no step is skipped; `levels` counts own ops within
    own ops.
    """

    steps: tuple[StepModel, ...]
    names: tuple[str, ...]
    ops: Mapping[str, Op]
    primitives: int
    levels: int

    def __call__(self, b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
        """Adds the steps to the scope and returns the last one's value."""
        values = {INPUT: inputs[0]}
        for index in range(len(self.steps)):
            self.add(b, index, values, a)
        return values[self.names[-1]]

    def add(self, b: Scope, index: int, values: dict[str, str], a: EdgeAttrs) -> None:
        """Adds a step to the scope, and its value to `values`."""
        name, before = self.names[index], self.names[index - 1] if index else INPUT
        known: dict[str, Number] = {
            "C": b.channels(values[INPUT]),
            "stride": a.stride,
            "affine": a.affine,
        }

        def add(op: Op, sources: tuple[str, ...], attrs: Mapping[str, Any]) -> str:
            return add_spelled(b, op, sources, name, attrs)

        values[name] = add_step(self.steps[index], self.ops, values, before, known, add)


def add_step(
    step: StepModel,
    ops: Mapping[str, Op],
    values: Mapping[str, str],
    before: str,
    known: Mapping[str, Number],
    add: Callable[[Op, tuple[str, ...], Mapping[str, Any]], str],
) -> str:
    """The value of a step behind that named `before`; `add(op, sources, attrs)` adds its op."""
    if not number(step.when, known):
        return values[before]
    op = ops[step.op]
    attrs = {key: _attribute(value, known) for key, value in step.attributes.items()}
    if "affine" in op.attrs.model_fields:
        attrs.setdefault("affine", known["affine"])
    return add(op, tuple(values[source] for source in step.sources or (before,)), attrs)


@dataclass(frozen=True, eq=False, repr=False)
class OwnOp(Macro):
    """An op that a space defines; copying or unpickling it returns the op itself."""

    def __reduce__(self) -> tuple[Callable[..., Op], tuple[str, ...]]:
        return own_op, (self.name, self.definition)


_known: WeakValueDictionary[tuple[str, str], Macro] = WeakValueDictionary()
"""The macros in use, by name and definition; equal definitions share a macro."""


def own_ops(
    models: Mapping[str, OpModel], place: Callable[[str], Where] = lambda _: NOWHERE
) -> dict[str, Macro]:
    """The own ops of a space as macros, by name; `place` locates the definition of one.

    Inside an op with the name of a shipped op, that name means the shipped op. Raises an error for
    circular definitions, or too many levels or primitives.
    """
    made: dict[str, Macro] = {}
    budget = Budget(OWN_OPS_LIMIT, "what the space's own ops are made of", "primitives")
    for name in models:
        try:
            budget.spend(primitives(_made(name, models, made, ())))
        except NasirError as error:
            raise error.at(place(name)) from None
    return {name: made[name] for name in models}


def own_op(name: str, definition: str) -> Macro:
    """The macro of a canonical definition; equal definitions give the same macro."""
    macro = _known.get((name, definition))
    if macro is not None:
        return macro
    model = Definition.model_validate(json.loads(definition))
    inner = {other: own_op(other, json_text(_data(used))) for other, used in model.ops.items()}
    return _macro(name, model, inner, definition)


def read_definition(name: str, text: str) -> Macro:
    """The macro of a definition as JSON. Raises the errors of `check_definition`."""
    try:
        model = Definition.model_validate(read_json(Source.of(text, "<definition>"), 2.0**64))
    except (NasirError, ValidationError):
        message = f"the definition of the op {quoted(name)} cannot be read"
        raise NasirError("E104", message) from None
    if _levels(model) > OWN_OP_LEVELS:
        raise _too_deep()
    return own_op(name, json_text(_data(model)))


def check_definition(model: OpModel, ops: Mapping[str, Op]) -> Composition:
    """The op's body. Raises its first fault, or an error for too many primitives or levels."""
    for _, error in faults(model, ops):
        raise error
    budget = Budget(OWN_OP_LIMIT, "an own op", "primitives")
    for step in model.steps:
        budget.spend(primitives(ops[step.op]))
    bodies = [getattr(ops[step.op], "body", None) for step in model.steps]
    levels = 1 + max((body.levels for body in bodies if isinstance(body, Composition)), default=0)
    if levels > OWN_OP_LEVELS:
        raise _too_deep()
    return Composition(model.steps, step_names(model.steps), ops, budget.spent, levels)


def faults(model: OpModel, known: Iterable[str]) -> Iterator[tuple[Path, NasirError]]:
    """The faults of each step, with their paths below the definition.

    Faults are unknown ops, duplicate names, sources that are no previous step, and expressions.
    """
    for path, error in step_faults(model.steps, step_names(model.steps), (INPUT,), known, TRIAL):
        yield ("steps", *path), error


def step_faults(
    steps: Sequence[StepModel],
    names: Sequence[str],
    first: Sequence[str],
    known: Iterable[str],
    trial: Mapping[str, Number],
) -> Iterator[tuple[Path, NasirError]]:
    """The faults of steps that may read the values `first`, with their paths below the list.

    `known` are the ops, `trial` has values with which expressions are tried.
    """
    known = set(known)
    for index, step in enumerate(steps):
        before = (*first, *names[:index])
        if step.op not in known:
            yield (index, "op"), unknown_op(step.op, known)
        if step.name in before:
            yield (index, "name"), NasirError("E109", f"two values are called '{names[index]}'")
        for source in step.sources:
            if source not in before:
                message = f"there is no step {quoted(source)} before this one"
                error = NasirError("E202", message, hint=nearest(source, before))
                yield (index, "from"), error
        for key, value in {"when": step.when, **step.attributes}.items():
            for part in parts_of(value):
                try:
                    number(part, trial)
                except NasirError as error:
                    yield (index, key), error


def step_names(steps: Sequence[StepModel], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The steps' names; unnamed steps are named after their op: `relu`, `relu2`."""
    names: list[str] = []
    given = {INPUT, *taken, *(step.name for step in steps)}
    for step in steps:
        name, count = step.name or step.op, 1
        while not step.name and (name in names or name in given):
            count += 1
            name = f"{step.op}{count}"
        names.append(name)
    return tuple(names)


def parts_of(value: Any) -> tuple[Any, ...]:
    """Both parts of a pair, or the value alone."""
    return cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)


def _made(
    name: str, models: Mapping[str, OpModel], made: dict[str, Macro], outer: tuple[str, ...]
) -> Macro:
    """The macro of a model, after those that it uses; each is made once."""
    if name in outer:
        circle = " to ".join((*outer[outer.index(name) :], name))
        raise NasirError("E109", f"the ops are defined in a circle: {circle}")
    if len(outer) == OWN_OP_LEVELS:
        raise _too_deep()
    if name not in made:
        model = models[name]
        used = dict.fromkeys(step.op for step in model.steps if step.op != name)
        inner = {op: _made(op, models, made, (*outer, name)) for op in used if op in models}
        made[name] = _macro(name, model, inner)
    return made[name]


def _macro(name: str, model: OpModel, inner: Mapping[str, Macro], definition: str = "") -> Macro:
    """The macro of a definition whose own ops are `inner`; reuses an existing one."""
    body = check_definition(model, {**ALL_OPS, **inner})
    if not definition:
        within = {op: json.loads(macro.definition) for op, macro in inner.items()}
        definition = json_text(_data(model) | ({"ops": within} if within else {}))
    summary = model.title or "an op of its own space"
    macro = OwnOp(name, summary, EdgeAttrs, body, on_edge=True, definition=definition)
    return _known.setdefault((name, definition), macro)


def _levels(model: Definition) -> int:
    return 1 + max(map(_levels, model.ops.values()), default=0)


def _too_deep() -> NasirError:
    message = f"the own ops use one another more than {OWN_OP_LEVELS} levels deep"
    return NasirError("E106", message)


def _data(model: OpModel) -> dict[str, Any]:
    return model.model_dump(by_alias=True, exclude_defaults=True, mode="json")


def number(value: Any, known: Mapping[str, Number]) -> Number:
    """The value of an expression, or the number itself."""
    return evaluate(value, known) if isinstance(value, str) else value


def _attribute(value: Any, known: Mapping[str, Number]) -> Any:
    parts = tuple(number(part, known) for part in parts_of(value))
    return parts if isinstance(value, tuple) else parts[0]


def add_spelled(
    b: Scope, op: Op, sources: tuple[str, ...], name: str, attrs: Mapping[str, Any]
) -> str:
    """Adds a primitive, or an expanded macro under the step's name; returns its value."""
    if not isinstance(op, Macro):
        return b(op.name, *sources, name=name, **attrs)
    where = Where(file=f"node {name}")
    types = tuple(b.type(source) for source in sources)
    checked = make_attrs(op, attrs, where)
    meaning_at(op, checked, types, where)
    nodes, output = template(op, checked, types).instance(Node(name, op, sources, checked))
    for node in nodes:
        inputs = tuple(b.type(source) for source in node.inputs)
        b.types[node.name] = meaning(node.op, node.attrs, inputs).type
        b.nodes.append(node)
    return output
