"""Declarations of ops: attributes, inputs, result type, parameters, cost and traits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nasir.errors import NasirError
from nasir.types import ImageType, SequenceType, TokenType, Type, VectorType


class Attrs(BaseModel):
    """Attributes of an op: frozen, checked, and without unknown names."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))


class NoAttrs(Attrs):
    """Attributes of ops that have none."""


@runtime_checkable
class Body(Protocol):
    """The protocol of a graph that an op applies: graphs themselves are made of ops."""

    @property
    def inputs(self) -> tuple[tuple[str, Type], ...]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def types(self) -> Mapping[str, Type]: ...
    @property
    def params(self) -> "tuple[ParamRef, ...]": ...
    def has(self, trait: str) -> bool: ...


def _body(value: Any) -> Any:
    if not isinstance(value, Body):
        raise ValueError("must be a graph")
    return value


class BodyAttrs(Attrs):
    """Attributes of an op that applies a graph: `body` is called with the op's own weights.

    The body's weights are formal: `params` of the node has the actual ones, in the order of
    `body.params`. Inputs of the body from number `FIRST_CONSTANT` on are equal at all applications;
    those that the body does not read can be removed.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    FIRST_CONSTANT: ClassVar[int] = 0

    body: Annotated[Body, BeforeValidator(_body)]


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


Size = Annotated[int, Field(ge=1, le=1 << 20)]
Pair = Annotated[tuple[Size, Size], BeforeValidator(_pair)]
"""(height, width); a single number means both."""
Margin = Annotated[int, Field(ge=0, le=1 << 16)]
MarginPair = Annotated[tuple[Margin, Margin], BeforeValidator(_pair)]

InitKind = Literal["constant", "uniform", "normal", "fold_weight", "fold_bias"]


@dataclass(frozen=True, slots=True)
class Init:
    """The start of a parameter: `constant`, `uniform` in ±value, `normal` with deviation value.

    `fold_weight` and `fold_bias` are computed from other parameters (`ParamRef.parts`): value is
    the batch norm's epsilon.
    """

    kind: InitKind
    value: float


ZEROS = Init("constant", 0.0)
ONES = Init("constant", 1.0)


def fan_in(inputs: int) -> Init:
    """Uniform in ±1/sqrt(inputs): torch's default for convolutions and linear maps."""
    return Init("uniform", inputs**-0.5)


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """A parameter as an op declares it; a `buffer` is state that no gradient reaches."""

    name: str
    shape: tuple[int, ...]
    init: Init
    buffer: bool = False


@dataclass(frozen=True, slots=True)
class ParamRef:
    """A parameter of a graph under its stable key; two nodes with one ref share the weight.

    `parts` are the parameters that a derived one (see `Init`) is computed from, by role.
    """

    key: str
    shape: tuple[int, ...]
    init: Init
    buffer: bool = False
    parts: "tuple[tuple[str, ParamRef], ...]" = ()

    @property
    def name(self) -> str:
        """The last part of the key: `weight` of `c03/n2.e0/sep_conv_3x3/dw1.weight`."""
        return self.key.rpartition(".")[2]

    @property
    def owner(self) -> str:
        """The key without its last part: the node's own name unless the weight is shared."""
        return self.key.rpartition(".")[0]

    def called(self, key: str) -> "ParamRef":
        """The parameter under another key."""
        return ParamRef(key, self.shape, self.init, self.buffer, self.parts)


class ChainUnit(Attrs):
    """A step of a chain: ReLU, window, product, batch norm, in this order, each optional.

    `product` is the number of channels of a 1x1 convolution's result, 0 without one; a dense window
    and its product are one convolution of all channels; a factorized one is two 1x1 convolutions
    with stride 2, of the pixels at even and at odd places, and the join of their results. `eps` is
    that of a batch norm without weights, None without one.
    """

    relu: bool = False
    window: Literal["", "depthwise", "max", "avg", "dense", "factorized"] = ""
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: MarginPair = (0, 0)
    product: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    eps: float | None = None
    momentum: float = 0.1

    def then(self, other: "ChainUnit") -> "ChainUnit | None":
        """Both as one unit, or None if their steps are not in order."""
        mine, others = self._steps, other._steps
        if mine and others and mine[-1] >= others[0]:
            return None
        given = {name: getattr(other, name) for name in other.model_fields_set}
        return self.model_copy(update=given)

    @property
    def _steps(self) -> tuple[int, ...]:
        present = (self.relu, self.window, self.product, self.eps is not None)
        return tuple([place for place, there in enumerate(present) if there])


def body_results(a: BodyAttrs, given: tuple[Type, ...], node: str) -> tuple[Type, ...]:
    """The types of the body's outputs. Raises an error if its inputs have other types."""
    wanted = tuple(type_ for _, type_ in a.body.inputs)
    if given != wanted:
        takes, gets = (", ".join(map(str, types)) for types in (wanted, given))
        raise NasirError("E305", f"the body takes ({takes}), {node} gives it ({gets})")
    return tuple(a.body.types[name] for name in a.body.outputs)


def body_params(a: BodyAttrs, _inputs: tuple[Type, ...]) -> tuple[ParamSpec, ...]:
    """The parameters of an op that applies a graph: the body's, under their keys in it."""
    return tuple(ParamSpec(ref.key, ref.shape, ref.init, ref.buffer) for ref in a.body.params)


Trait = Literal[
    "random",  # a fresh draw at each call
    "stateful",  # training changes its buffers
    "commutative",  # the order of two inputs does not matter
    "sum",  # adds its inputs: a zero among them changes nothing, one alone is the result
    "join",  # one input alone is the result
    "elementwise",  # works on each scalar by itself
    "idempotent",  # applying it twice is applying it once
    "linear",  # linear in its input
    "zero",  # its result is zero whatever its input
    "keeps_zero",  # zero of zeros, as is every linear op without a bias
    "blind",  # its result depends on its input's type alone
    "channel_affine",  # in inference a scale and a shift for each channel
    "absorbs_affine",  # weight and bias can take up a scale and a shift for each output channel
    "training",  # the identity of its first input in evaluation
    "state",  # its value is a state of its cell
    "fused",  # made by passes, for targets with a rule for it
    "recomputed",  # training saves its inputs alone and recomputes it for backward
    "mixture",  # its first input weights the others, by its attribute `options`
]
IS_LINEAR: frozenset[Trait] = frozenset({"linear"})


def no_params(_attrs: Any, _inputs: tuple[Type, ...]) -> tuple[ParamSpec, ...]:
    return ()


def _no_macs(_attrs: Any, _inputs: tuple[Type, ...], _output: Type) -> int:
    return 0


def _no_unit(_attrs: Any, _inputs: tuple[Type, ...]) -> ChainUnit | None:
    return None


class _Itself:
    """Compares by identity; comparing with a text is a TypeError, not False."""

    name: str

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            raise TypeError(f"an op is no text: compare `.op.name` with {other!r}")
        return self is other

    def __hash__(self) -> int:
        return id(self)


@dataclass(frozen=True, eq=False)
class OpSpec(_Itself):
    """A primitive: its facts that do not depend on a target.

    `infer` maps attributes and input types to the result's type (raises NasirError when they do
    not fit), `params` declares parameters in order, `macs` counts multiply-adds of one example.
    `arity` is (least, most) inputs, most None for any number. `widths` names the attributes that
    scale with a network's width: instances of a kind of cell differ in no others. For random ops,
    `frozen` is the op that repeats one sample, `drawn` the op that reads the sample from its last
    input, and `draw` the type of the sample. `unit` is the op as a step of a chain, or None. Both
    are functions of attributes and input types.
    """

    name: str
    summary: str
    attrs: type[Attrs]
    infer: Callable[..., Type]
    traits: frozenset[Trait] = frozenset()
    arity: tuple[int, int | None] = (1, 1)
    params: Callable[..., tuple[ParamSpec, ...]] = no_params
    macs: Callable[..., int] = _no_macs
    widths: tuple[str, ...] = ()
    frozen: "OpSpec | None" = None
    drawn: "OpSpec | None" = None
    draw: Callable[..., Type] | None = None
    unit: Callable[..., ChainUnit | None] = _no_unit

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def with_draw(op: OpSpec, draw: Callable[..., Type]) -> tuple[OpSpec, OpSpec]:
    """The random op, and `<name>_drawn`, which reads its sample from its last input.

    `draw` returns the sample's type from attributes and the other inputs' types.
    """
    least, most = op.arity
    name = f"{op.name}_drawn"

    def infer(attrs: Any, inputs: tuple[Type, ...]) -> Type:
        *others, given = inputs
        result = op.infer(attrs, tuple(others))
        wanted = draw(attrs, tuple(others))
        if given != wanted:
            raise NasirError("E305", f"{name} takes a draw of {wanted} last, not {given}")
        return result

    drawn = replace(
        op,
        name=name,
        summary=f"`{op.name}` of a draw that is given last",
        arity=(least + 1, None if most is None else most + 1),
        infer=infer,
        traits=(op.traits - {"random", "blind"}) | {"fused"},
        frozen=None,
    )
    return replace(op, drawn=drawn, draw=draw), drawn


T = TypeVar("T", ImageType, VectorType, SequenceType, TokenType)
_NOUNS: dict[type[Type], str] = {
    ImageType: "an image",
    VectorType: "a vector",
    SequenceType: "a sequence",
    TokenType: "tokens",
}


def expect(wanted: type[T], value: Type, op: str) -> T:
    """`value`, which must be of that type."""
    if not isinstance(value, wanted):
        hint = "flatten it first" if wanted is VectorType else ""
        raise NasirError("E305", f"{op} takes {_NOUNS[wanted]}, not {value}", hint=hint)
    return value


@dataclass(frozen=True, eq=False)
class Macro(_Itself):
    """A named composition of primitives, such as `sep_conv_3x3`.

    `body(scope, inputs, attrs)` adds primitives to the scope and returns the result's name. Type,
    parameters and cost follow from it. `on_edge`: genotypes may have it on an edge.
    `definition` is the text that a space's own op was read from (see `nasir.own_ops`).
    """

    name: str
    summary: str
    attrs: type[Attrs]
    body: Callable[..., str]
    arity: tuple[int, int | None] = (1, 1)
    on_edge: bool = False
    traits: frozenset[Trait] = frozenset()
    definition: str = ""

    def __repr__(self) -> str:
        return f"<macro {self.name}>"


Op = OpSpec | Macro
