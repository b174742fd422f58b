"""Skeletons: how cells become a network. Each is a row of a table."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from nasir.errors import PRIMITIVE_LIMIT, NasirError, unknown_op
from nasir.graph import Builder, Graph
from nasir.macros import ACTIVATIONS, EDGE_MACROS
from nasir.ops import Macro, Op
from nasir.space.builders import (
    LANGUAGE_SEARCH,
    LANGUAGE_SIZE,
    build_language,
    language_inputs,
    nasbench1shot1,
    nasbench101,
)
from nasir.space.cells import Design, Stem, add_cell, add_stack, cells_of, layout_of, space_of
from nasir.space.decisions import CellGenotype, SpaceCell, cell_tree, misfits
from nasir.space.layout import DEPTHS, Size, StagedSize, StageSize, check_number
from nasir.space.space import Space
from nasir.table import Table
from nasir.template import primitives
from nasir.types import ImageType, Type

Made = TypeVar("Made", bound=Builder)

Built = (
    tuple[str | tuple[str, ...], str | None]
    | tuple[str | tuple[str, ...], str | None, Mapping[str, str]]
)
"""The results, those of the auxiliary head, and the values that end stages by the stages' names."""


def _image(size: Size | StageSize) -> dict[str, Type]:
    return {"image": ImageType(size.in_channels, size.resolution, size.resolution)}


@dataclass(frozen=True)
class Skeleton:
    """`build(builder, design, size)` returns the logits and, if asked for, the auxiliary ones.

    A third result, if there is one, maps names of stages to the values that end them; else stages
    end where the image's side is halved.

    `default` is the size of a discrete network, `search` that of a supernet where it
    is another.

    Where it is `laid_out`, cells stand where the space's layout says (`kinds` are the published
    ones) and have at most so many inputs; elsewhere the edges from a cell's input have one of
    `strides`, and each of its `stages` has `layers` cells of one kind (see `StagedSize`).
    `on_nodes`: whether the ops of its cells stand on nodes, not on edges. `counts` returns the
    number of cells of each kind where these rules do not.

    It may return several outputs. `begin` says what the network reads, `ops` which ops its cells
    may have, `outputs` what its outputs are called in files.
    """

    name: str
    summary: str
    default: Any
    build: Callable[[Builder, Design, Any], Built]
    search: Any = None
    kinds: tuple[str, ...] = ("cell",)
    inputs: int = 1
    has_auxiliary: bool = False
    begin: Callable[[Any], dict[str, Type]] = _image
    ops: Mapping[str, Op] = field(default_factory=lambda: EDGE_MACROS)
    outputs: tuple[str, ...] = ("logits",)
    laid_out: bool = False
    on_nodes: bool = False
    strides: tuple[int, ...] = (1,)
    stages: int = 1
    counts: Callable[[Any], Mapping[str, int]] | None = None

    @property
    def sizes(self) -> tuple[str, ...]:
        """The names of the numbers that make up its size."""
        return tuple(f.name for f in fields(self.default) if f.name != "auxiliary")


def build_network(
    design: Design, skeleton: Skeleton, size: Any, about: Mapping[str, str] | None = None
) -> Graph:
    """The discrete network, or the supernet, as a graph of macros; `about` joins its `meta`."""
    builder, (results, auxiliary, *named) = write_network(Builder, design, skeleton, size)
    meta = {**_meta(design, skeleton, size), **(about or {})}
    if named:
        meta |= {"stages": " ".join(named[0]), "ends": " ".join(named[0].values())}
    return builder.graph(
        *((results,) if isinstance(results, str) else results),
        auxiliary=(auxiliary,) if auxiliary else (),
        meta=meta,
    )


def write_network(
    make: Callable[..., Made], design: Design, skeleton: Skeleton, size: Any
) -> tuple[Made, Built]:
    """A builder with all nodes of a network, and what `Skeleton.build` returns."""
    _check_size(skeleton, size)
    _check_cells(design, skeleton)
    _check_work(design, skeleton, size)
    builder = make(**skeleton.begin(size))
    return builder, skeleton.build(builder.know(_own(design)), design, size)


def network_size(
    design: Design, skeleton: Skeleton, asked: Mapping[str, int], *, auxiliary: bool = False
) -> Any:
    """The size of a genotype's network, or of a space's supernet: what is asked for, else the
    genotype's own numbers (the largest of those that are open), else the space's where they are of
    this skeleton, else the skeleton's. `layers` that are asked for are those of every stage.
    """
    space = space_of(design)
    own: dict[str, int] = {}
    if space is None or space.skeleton == skeleton.name:
        picked = design.largest if isinstance(design, Space) else design.size
        own = dict((space.size if space else ()) + picked)
    if "layers" in asked:
        own = {name: number for name, number in own.items() if name not in DEPTHS}
    given = {**own, **asked}
    for name in given:
        if name not in skeleton.sizes:
            message = f"the skeleton '{skeleton.name}' has no size '{name}'"
            raise NasirError("E505", message, hint=f"it has: {', '.join(skeleton.sizes)}")
    size = (isinstance(design, Space) and skeleton.search) or skeleton.default
    return replace(size, auxiliary=auxiliary, **given)


def _check_size(skeleton: Skeleton, size: Any) -> None:
    for name in skeleton.sizes:
        own = getattr(skeleton.default, name)
        hint = f"the skeleton's own is {own}"
        check_number(name, getattr(size, name), least=min(1, own), hint=hint)
    if size.auxiliary and not skeleton.has_auxiliary:
        raise NasirError(
            "E505",
            f"the skeleton '{skeleton.name}' has no auxiliary head",
            hint="leave --auxiliary out",
        )


def _check_cells(design: Design, skeleton: Skeleton) -> None:
    known = _known(design, skeleton)
    what = "space" if isinstance(design, Space) else "genotype"
    for kind in layout_of(design).kinds if skeleton.laid_out else skeleton.kinds:
        if kind not in design.kinds:
            raise NasirError(
                "E202",
                f"the skeleton '{skeleton.name}' needs a cell '{kind}'; "
                f"{what} {design.name or 'without a name'} has: {', '.join(design.kinds)}",
                hint=f"choose another skeleton: {', '.join(SKELETONS)}",
            )
        for reason in _misfits(design, skeleton, kind):
            fitting = [row.name for row in SKELETONS.values() if not _misfits(design, row, kind)]
            message = f"the skeleton '{skeleton.name}' does not take cell '{kind}': {reason}"
            hint = f"choose another skeleton: {', '.join(fitting)}"
            same = design.cell(kind).inputs == _inputs(design, skeleton, kind)
            raise NasirError("E505" if same else "E202", message, hint=hint)
        _check_ops(design, kind, known, set())


def _misfits(design: Design, skeleton: Skeleton, kind: str) -> list[str]:
    """Why a cell does not stand in a skeleton."""
    return misfits(design.cell(kind), _inputs(design, skeleton, kind), skeleton.on_nodes)


def _check_ops(design: Design, kind: str, known: Mapping[str, Op], seen: set[str]) -> None:
    """Raises an error for an op that is none, nor a kind of cell that stands before this one."""
    space = space_of(design)
    inner = space.options(kind) if space else ()
    for op in dict.fromkeys(design.cell(kind).named_ops):
        if op in known or op in seen:
            continue
        if op not in inner:
            raise unknown_op(op, {*known, *inner})
        if reason := unsuited(design.cell(op)):
            raise NasirError("E505", f"cell '{op}' cannot be an option of cell '{kind}': {reason}")
        seen.add(op)
        _check_ops(design, op, known, seen)


def unsuited(cell: CellGenotype | SpaceCell) -> str:
    """Why a cell cannot stand on an edge; empty where it can."""
    widens = "concat" in (cell.combine, len(cell.output) > 1 and cell.join)
    wide = ["it changes the number of channels: join by sum or mean"] if widens else []
    return next(iter((*misfits(cell, 1, on_nodes=False), *wide)), "")


def _check_work(design: Design, skeleton: Skeleton, size: Any) -> None:
    """Raises an error for a network of more than PRIMITIVE_LIMIT primitives, before it is built.

    Edges, ops and layers have limits of their own; this one is on their product.
    """
    known = _known(design, skeleton)
    layers: int = getattr(size, "layers", 1)
    kinds = layout_of(design).of(layers) if skeleton.laid_out else ()
    depths = size.depths if isinstance(size, StagedSize) else (layers,) * skeleton.stages
    if skeleton.counts is not None:
        counts = skeleton.counts(size)
    else:
        counts = Counter(kinds) or {skeleton.kinds[0]: sum(depths)}
    sizes = {name: primitives(op) for name, op in known.items()}
    space = space_of(design)
    for kind in (kind for kind in (space or design).kinds if kind in design.kinds):
        if sizes.keys() >= {*design.cell(kind).named_ops}:
            sizes.setdefault(kind, _primitives(design.cell(kind), sizes))
    each = {kind: sizes[kind] for kind in counts}
    total = sum(counts[kind] * each[kind] for kind in counts)
    if total > PRIMITIVE_LIMIT:
        shown = "; ".join(f"{n:,} cells '{kind}' of {each[kind]:,}" for kind, n in counts.items())
        raise NasirError(
            "E302",
            f"the network would have {total:,} primitives, more than {PRIMITIVE_LIMIT:,}",
            hint=f"give fewer layers, or smaller cells: there are {shown}",
        )


def _primitives(cell: CellGenotype | SpaceCell, sizes: Mapping[str, int]) -> int:
    """The number of a cell's primitives, or a few more."""
    tree = cell_tree(cell)
    slots = [*tree, *(op for node in tree for option in node.options for op in option.then)]
    applied = [slot for slot in slots if slot.slot.role in ("op on edge", "op on node")]
    ops = [op for slot in applied for op in slot.choice.options]
    normed = cell.normalise if isinstance(cell, SpaceCell) else ()
    read = sum(len(slot.options) for slot in tree if slot.slot.role == "input")
    mixed = sum(bool(slot.mixed) for slot in applied) + sum(op in normed for op in ops)
    return sum(sizes[op] for op in ops) + mixed + 4 * read + len(tree) + 1


def _inputs(design: Design, skeleton: Skeleton, kind: str) -> int:
    """The number of a cell's inputs: that of its space where the skeleton can give fewer."""
    space = space_of(design)
    if space is None or kind not in space.kinds:
        return skeleton.inputs
    return min(skeleton.inputs, space.cell(kind).inputs)


def _own(design: Design) -> tuple[Macro, ...]:
    """The ops that the design's space defines itself."""
    space = space_of(design)
    return space.ops if space else ()


def _known(design: Design, skeleton: Skeleton) -> dict[str, Op]:
    """The ops of the skeleton's cells, and the design's own."""
    return {**skeleton.ops, **{op.name: op for op in _own(design)}}


def _meta(design: Design, skeleton: Skeleton, size: Any) -> dict[str, str]:
    numbers = {name: getattr(size, name) for name in skeleton.sizes}
    if isinstance(size, StagedSize):
        numbers |= dict(zip(DEPTHS, size.depths, strict=True))
        for name in DEPTHS if set(size.depths) == {size.layers} else ("layers",):
            del numbers[name]
    if numbers.get("columns", -1) in (0, numbers.get("resolution")):
        del numbers["columns"]
    sizes = {
        "skeleton": skeleton.name,
        **{name: str(number) for name, number in numbers.items()},
        **({"outputs": " ".join(skeleton.outputs)} if len(skeleton.outputs) > 1 else {}),
    }
    if isinstance(design, Space):
        return {"space": design.name, **sizes}
    return {"space": design.space, "name": design.name, **sizes}


def _stacked(
    b: Builder, design: Design, size: Size, stem: Stem, head: str = "classifier", **auxiliary: Any
) -> tuple[str, str | None]:
    """Adds the cells behind a stem, the classifier, and the auxiliary head if it is asked for."""
    last, tapped = add_stack(b, design, size.channels, size.layers, stem)
    logits = b(head, last, name="head", classes=size.classes)
    if not size.auxiliary:
        return logits, None
    return logits, b("auxiliary_head", tapped, name="aux", classes=size.classes, **auxiliary)


def _cifar(b: Builder, design: Design, size: Size) -> tuple[str, str | None]:
    stem = b("conv_bn", "image", name="stem", out=3 * size.channels, kernel=3)
    return _stacked(b, design, size, Stem(stem, stem))


def _imagenet(b: Builder, design: Design, size: Size) -> tuple[str, str | None]:
    """The evaluation network: stem widths C/2, C, C; the auxiliary head has no last batch norm."""
    stem = _imagenet_stem(b, size.channels, 1)
    return _stacked(b, design, size, stem, "imagenet_classifier", stride=2, norm=False)


def _imagenet_search(b: Builder, design: Design, size: Size) -> tuple[str, str | None]:
    """PC-DARTS's and DrNAS's network for the search: stem widths 3C/2, 3C, 3C; any map size."""
    return _stacked(b, design, size, _imagenet_stem(b, size.channels, 3))


def _check_even(channels: int, skeleton: str) -> None:
    """Raises an error where a stem that halves the channels cannot."""
    if channels % 2:
        message = f"the {skeleton} stem halves the channels: {channels} is odd"
        raise NasirError("E302", message, hint=f"try {channels + 1}")


def _imagenet_stem(b: Builder, channels: int, factor: int) -> Stem:
    _check_even(channels, "imagenet")
    width = factor * channels
    x = b("conv_bn", "image", name="stem0a", out=width // 2, kernel=3, stride=2)
    stem0 = b("relu_conv_bn", x, name="stem0b", out=width, kernel=3, stride=2)
    stem1 = b("relu_conv_bn", stem0, name="stem1", out=width, kernel=3, stride=2)
    return Stem(stem0, stem1, halved=True)


def _nnabla(b: Builder, design: Design, size: Size) -> tuple[str, str | None]:
    """nnabla's: padded reductions, no bias in the auxiliary head (quirk A11).

    Its stem has 3C channels in the search and C in the network that is trained afterwards.
    """
    width = 3 * size.channels if isinstance(design, Space) else size.channels
    x = b("conv_bn", "image", name="stem", out=width, kernel=3)
    stem = Stem(x, x, shrink="padded_factorized_reduce")
    return _stacked(b, design, size, stem, bias=False)


def _nasbench201(b: Builder, design: Design, size: StagedSize) -> tuple[str, str | None]:
    channels = size.channels
    x = b("conv_bn", "image", name="stem", out=channels, kernel=3)
    number = 0
    for stage, depth in enumerate(size.depths):
        if stage:
            channels *= 2
            x = b("residual_reduce", x, name=f"reduce{stage}", out=channels, stride=2)
        for _ in range(depth):
            x = add_cell(b, f"c{number:02d}", "cell", cells_of(design), [x], 1)
            number += 1
    return b("norm_classifier", x, name="head", classes=size.classes), None


def _natsbench_size(b: Builder, design: Design, size: StageSize) -> tuple[str, str | None]:
    """Builds NATS-Bench's five stages: two residual reductions between three cells."""
    x = b("conv_bn", "image", name="stem", out=size.stage1, kernel=3)
    for number, width in enumerate(size.widths):
        if number % 2:
            x = b("residual_reduce", x, name=f"reduce{number // 2 + 1}", out=width, stride=2)
        else:
            x = add_cell(b, f"c{number // 2:02d}", "cell", cells_of(design), [x], 1, width)
    return b("norm_classifier", x, name="head", classes=size.classes), None


_HALVING = (True, False, True, False, True)
"""The modules of TransNAS-Bench-101's five that halve the image and double channels: 41414."""


def _transnasbench101(b: Builder, design: Design, size: Size) -> tuple[str, str | None]:
    """Five modules of equal cells, the first cell of three of them at stride 2."""
    _check_even(size.channels, "transnasbench101")
    x = b("conv_bn", "image", name="stem0", out=size.channels // 2, kernel=3, stride=2)
    x = b("relu_conv_bn", x, name="stem1", out=size.channels, kernel=3, stride=2)
    for module, halves in enumerate(_HALVING):
        for place in range(size.layers):
            name = f"c{module * size.layers + place:02d}"
            stride = 2 if halves and not place else 1
            x = add_cell(b, name, "cell", cells_of(design), [x], stride)
    return b("classifier", x, name="head", classes=size.classes), None


_LAID_OUT: dict[str, Any] = {"kinds": ("normal", "reduce"), "inputs": 2, "laid_out": True}

SKELETONS: Table[Skeleton] = Table(
    Skeleton(
        "cifar",
        "3x3 stem of 3C channels, two reductions, global mean",
        Size(36, 20, 10, 32),
        _cifar,
        search=Size(16, 8, 10, 32),
        has_auxiliary=True,
        **_LAID_OUT,
    ),
    Skeleton(
        "imagenet",
        "three strided stem convolutions, two reductions, 7x7 mean",
        Size(48, 14, 1000, 224),
        _imagenet,
        search=Size(16, 8, 1000, 224),
        has_auxiliary=True,
        **_LAID_OUT,
    ),
    Skeleton(
        "imagenet_search",
        "as imagenet, with a stem of 3C channels and a global mean",
        Size(16, 8, 1000, 224),
        _imagenet_search,
        **_LAID_OUT,
    ),
    Skeleton(
        "nnabla",
        "3x3 stem of C channels, two padded reductions, global mean",
        Size(36, 20, 10, 32),
        _nnabla,
        search=Size(16, 8, 10, 32),
        has_auxiliary=True,
        **_LAID_OUT,
    ),
    Skeleton(
        "nasbench201",
        "three stages of N equal cells with residual reductions between them",
        StagedSize(16, 5, 10, 32),
        _nasbench201,
    ),
    Skeleton(
        "natsbench_size",
        "three equal cells with residual reductions between them, each stage of its own width",
        StageSize(64, 64, 64, 64, 64, 10, 32),
        _natsbench_size,
    ),
    Skeleton(
        "transnasbench101",
        "two strided stem convolutions, five modules of N equal cells, three of which halve",
        Size(64, 2, 75, 256),
        _transnasbench101,
        strides=(1, 2),
        stages=len(_HALVING),
    ),
    Skeleton(
        "nasbench101",
        "three stacks of N equal modules with 2x2 maxima between them",
        StagedSize(128, 3, 10, 32),
        nasbench101,
        on_nodes=True,
    ),
    Skeleton(
        "nasbench1shot1",
        "the one-shot model's cells, each node as wide as the network",
        Size(16, 9, 10, 32),
        nasbench1shot1,
        on_nodes=True,
    ),
    Skeleton(
        "rnn",
        "a language model: embedding, one recurrent layer, tied decoder",
        LANGUAGE_SIZE,
        build_language,
        search=LANGUAGE_SEARCH,
        kinds=("recurrent",),
        has_auxiliary=True,
        begin=language_inputs,
        ops=ACTIVATIONS,
        outputs=("log_probabilities", "next_hidden"),
    ),
    kinds=("skeleton",),
)
