"""Own skeletons of a space: a stem, stages of cells, a head and an auxiliary head, as data.

Steps are those of own ops (`nasir.own_ops`). A step of the stem reads the step before it, or the
network's input; a stage reads the stage before it, the first one the stem; the head reads the last
stage. `from` names steps, stages, or `input`, wherever they stand before.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from nasir.document import Document, Path
from nasir.errors import NasirError, Where, json_text, nearest, quoted
from nasir.expressions import Number
from nasir.graph import Builder
from nasir.macros import ALL_OPS
from nasir.node import Cell
from nasir.ops import Macro, Op
from nasir.own_ops import (
    INPUT,
    STEP_LIMIT,
    StepModel,
    Word,
    add_step,
    number,
    step_faults,
    step_names,
)
from nasir.space.cells import Design, add_cell, add_input, cells_of
from nasir.space.decisions import misfits
from nasir.space.layout import LIMITS, OWN, OwnSize
from nasir.space.skeletons import SKELETONS, Skeleton, network_size, write_network
from nasir.space.space import Genotype, Space
from nasir.types import ImageType, SignalType, Type

STAGE_LIMIT = 64

Steps = Annotated[tuple[StepModel, ...], Field(max_length=STEP_LIMIT)]


def _expression(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("must be a whole number or an expression, such as 2 * C")
    return value


Whole = Annotated[
    Any, BeforeValidator(_expression), WithJsonSchema({"type": ["integer", "string"]})
]


class StageModel(BaseModel):
    """Cells of one kind behind steps of its own; either may be left out."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    name: Word | None = Field(
        default=None, description="The name that steps read it by; by default stage1, stage2, …"
    )
    steps: Steps = Field(default=(), description="Steps before its cells, such as a reduction.")
    cell: Word | None = Field(default=None, description="The kind of its cells.")
    count: Whole = Field(default=1, description="How many cells; an expression over C, N, …")
    width: Whole | None = Field(
        default=None,
        description="The channels of a cell's nodes; by default those of the cell's input.",
    )
    stride: Whole = Field(default=1, description="1, or 2: its first cell halves the image.")


class AuxiliaryModel(BaseModel):
    """A second head, for training alone."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    after: Word = Field(description="The stage or step that its first step reads.")
    steps: Steps = Field(min_length=1, description="Its ops, in order.")


class OwnSkeletonModel(BaseModel):
    """A skeleton. Expressions are over C (`channels`), N (`layers`), classes, resolution,
    in_channels and affine (true).
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    input: Literal["image", "signal"] = Field(
        default="image",
        description="What the network reads; a signal (C, T) becomes an image of height 1.",
    )
    stem: Steps = Field(default=(), description="Steps before the first stage.")
    stages: tuple[StageModel, ...] = Field(
        min_length=1, max_length=STAGE_LIMIT, description="The cells, in order."
    )
    head: Steps = Field(default=(), description="Steps behind the last stage.")
    auxiliary: AuxiliaryModel | None = Field(default=None, description="A second head.")
    outputs: Annotated[tuple[Word, ...], Field(max_length=64)] = Field(
        default=(),
        description="The steps and stages that are results, in order; by default the last one.",
    )

    @cached_property
    def stage_names(self) -> tuple[str, ...]:
        """The names of the stages, numbered from 1 where they have none."""
        return tuple(stage.name or f"stage{i}" for i, stage in enumerate(self.stages, start=1))

    @cached_property
    def lists(self) -> dict[str, tuple[Path, tuple[StepModel, ...]]]:
        """The lists of steps and their paths, by the prefix of their nodes' names."""
        stages = zip(self.stage_names, self.stages, strict=True)
        found: dict[str, tuple[Path, tuple[StepModel, ...]]] = {"stem": (("stem",), self.stem)}
        for place, (name, stage) in enumerate(stages):
            found[name] = (("stages", place, "steps"), stage.steps)
        found["head"] = (("head",), self.head)
        if self.auxiliary is not None:
            found["aux"] = (("auxiliary", "steps"), self.auxiliary.steps)
        return found

    @cached_property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The steps' names, by the prefix."""
        taken = [*self.stage_names]
        taken += [step.name for _, steps in self.lists.values() for step in steps if step.name]
        return {key: step_names(steps, taken) for key, (_, steps) in self.lists.items()}

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cell that stand in it."""
        return tuple(dict.fromkeys(stage.cell for stage in self.stages if stage.cell))


def read_skeleton(
    document: Document, model: OwnSkeletonModel, kinds: Sequence[str], ops: tuple[Macro, ...]
) -> tuple[str, Skeleton]:
    """The definition of a file as canonical JSON, and the skeleton. Raises its first fault."""
    for path, error in _faults(model, kinds, {*ALL_OPS, *(op.name for op in ops)}):
        raise error.at(document.place(("skeleton", *path)))
    text = json_text(model.model_dump(by_alias=True, exclude_defaults=True, mode="json"))
    return text, own_skeleton(text, ops)


def find_skeleton(name: str, space: Space | None = None) -> Skeleton:
    """The skeleton of that name; `own` is the one that the space defines itself."""
    if name == OWN and space is not None and space.network:
        return own_skeleton(space.network, space.ops)
    if name not in SKELETONS:
        raise NasirError("E201", f"unknown skeleton '{name}'", hint=nearest(name, SKELETONS))
    return SKELETONS[name]


@lru_cache(1 << 7)
def own_skeleton(text: str, ops: tuple[Macro, ...]) -> Skeleton:
    """The skeleton of a canonical definition, whose steps may name `ops`."""
    model = OwnSkeletonModel.model_validate(json.loads(text))
    network = _Network(model, {**ALL_OPS, **{op.name: op for op in ops}})
    strides = {1, *(2 for stage in model.stages if stage.stride != 1)}
    return Skeleton(
        OWN,
        "the skeleton that the space defines itself",
        OwnSize(16, 2, 10, 32),
        network,
        kinds=model.kinds,
        inputs=2,
        has_auxiliary=model.auxiliary is not None,
        begin=partial(_entrance, model.input),
        outputs=model.outputs or ("logits",),
        strides=tuple(sorted(strides)),
        counts=network.counts,
    )


def check_skeleton(document: Document, space: Space, skeleton: Skeleton) -> None:
    """Builds the space's own network, two cells of a stage at most; raises its fault in place."""
    network = skeleton.build
    assert isinstance(network, _Network)
    for place, stage in enumerate(network.model.stages):
        for cell in (space.cell(stage.cell),) if stage.cell else ():
            for reason in misfits(cell, cell.inputs, skeleton.on_nodes):
                where = document.place(("skeleton", "stages", place, "cell"))
                hint = "the skeletons nasbench101 and nasbench1shot1 take such cells"
                raise NasirError("E505", f"cell '{cell.kind}': {reason}", where, hint)
    for kind in space.kinds:
        if kind not in (*skeleton.kinds, *space.inner):
            where = document.key_place(("cells", kind))
            raise NasirError("E202", f"the skeleton puts the cell '{kind}' nowhere", where)

    def locate(path: Path) -> Where:
        return document.place(("skeleton", *path))

    trial = replace(network, place=locate, most=2)
    size = network_size(space, skeleton, {}, auxiliary=skeleton.has_auxiliary)
    write_network(Builder, space, replace(skeleton, build=trial, counts=trial.counts), size)


def _entrance(kind: str, size: OwnSize) -> dict[str, Type]:
    if kind == "signal":
        return {"signal": SignalType(size.in_channels, size.resolution)}
    columns = size.columns or size.resolution
    return {"image": ImageType(size.in_channels, size.resolution, columns)}


def _dotted(path: Path) -> Where:
    return Where(".".join(map(str, ("skeleton", *path))))


_NAMES = ("C", "N", "classes", "resolution", "in_channels")
_TRIAL: Mapping[str, Number] = {**dict.fromkeys(_NAMES, 96), "affine": True}


@dataclass(frozen=True)
class _Network:
    """Builds networks of a definition; a stage has at most `most` cells.

    `place` locates a part of the definition in errors.
    """

    model: OwnSkeletonModel
    ops: Mapping[str, Op]
    place: Callable[[Path], Where] = _dotted
    most: int = LIMITS["layers"]

    def counts(self, size: OwnSize) -> Counter[str]:
        """The number of cells of each kind."""
        found: Counter[str] = Counter()
        for place, stage in enumerate(self.model.stages):
            if stage.cell:
                found[stage.cell] += self.whole(place, "count", _known(size))
        return found

    def __call__(
        self, b: Builder, design: Design, size: OwnSize
    ) -> tuple[tuple[str, ...], str | None, dict[str, str]]:
        """The results, that of the auxiliary head if it is asked for, and the ends of stages."""
        (entrance,) = b.types
        if self.model.input == "signal":
            entrance = b("reshape", entrance, name="entrance", channels=size.in_channels, height=1)
        values, known = {INPUT: entrance}, _known(size)
        before = self.steps(b, "stem", INPUT, values, known)
        stack = _Stack(b, design, (values[before], values[before]))
        for place, (name, stage) in enumerate(
            zip(self.model.stage_names, self.model.stages, strict=True)
        ):
            behind = self.steps(b, name, before, values, known)
            if stage.steps:
                stack.states = (values[behind], values[behind])
            if stage.cell:
                sizes = [self.whole(place, key, known) for key in ("count", "width", "stride")]
                with self.at(("stages", place)):
                    stack.add(stage.cell, min(sizes[0], self.most), *sizes[1:])
            values[name], before = stack.states[1], name
        last = self.steps(b, "head", before, values, known)
        results = tuple(values[name] for name in self.model.outputs or (last,))
        ends = {name: values[name] for name in self.model.stage_names}
        if self.model.auxiliary is None or not size.auxiliary:
            return results, None, ends
        last = self.steps(b, "aux", self.model.auxiliary.after, values, known)
        return results, values[last], ends

    def steps(
        self,
        b: Builder,
        part: str,
        before: str,
        values: dict[str, str],
        known: Mapping[str, Number],
    ) -> str:
        """Adds the steps of a part behind the value `before`; returns the last one's name."""
        path, steps = self.model.lists[part]
        for index, (name, step) in enumerate(zip(self.model.named[part], steps, strict=True)):

            def add(
                op: Op, sources: tuple[str, ...], attrs: Mapping[str, Any], name: str = name
            ) -> str:
                return b(op, *sources, name=f"{part}.{name}", **attrs)

            with self.at((*path, index), step.attributes):
                values[name] = add_step(step, self.ops, values, before, known, add)
            before = name
        return before

    def whole(self, place: int, key: str, known: Mapping[str, Number]) -> int:
        """A number of a stage; a width that is left out is 0."""
        value = getattr(self.model.stages[place], key)
        if value is None:
            return 0
        least, most = _RANGES[key]
        found = number(value, known)
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            message = f"{key} must be a whole number from {least} to {most}, not {found}"
            raise NasirError("E302", message, self.place(("stages", place, key)))
        return found

    @contextmanager
    def at(self, path: Path, attributes: Iterable[str] = ()) -> Generator[None]:
        """Places errors at the path, or at the attribute below it that they are about."""
        try:
            yield
        except NasirError as error:
            if self.place is _dotted:
                raise error.at(_dotted(path)) from None
            wrong = (key for key in attributes if f"'{key}'" in error.message)
            where = self.place((*path, *islice(wrong, 1)))
            raise NasirError(error.code, error.message, where, error.hint) from None


_RANGES = {"count": (0, LIMITS["layers"]), "width": (1, LIMITS["channels"]), "stride": (1, 2)}


def _known(size: OwnSize) -> dict[str, Number]:
    numbers = (size.channels, size.layers, size.classes, size.resolution, size.in_channels)
    return {**dict(zip(_NAMES, numbers, strict=True)), "affine": True}


@dataclass
class _Stack:
    """Adds cells behind `states`, the results of the two cells before. Mutable."""

    b: Builder
    design: Design
    states: tuple[str, str]
    number: int = 0

    def add(self, kind: str, count: int, width: int, stride: int) -> None:
        """Adds cells of a kind, the first one at that stride.

        Where a cell has two inputs, each stands behind a ReLU, a 1x1 convolution and a batch norm;
        the older one behind a factorized reduce where it is larger. Where it has one, only one of
        another width does.
        """
        b, affine = self.b, isinstance(self.design, Genotype)
        for place in range(count):
            name, (older, last) = f"c{self.number:02d}", self.states
            inputs = self.design.cell(kind).inputs
            out = width or b.channels(last)
            made = partial(add_input, b, Cell(kind, name), out=out, affine=affine)
            x = last
            if inputs == 2 or b.channels(last) != out:
                x = made(inputs - 1, "relu_conv_bn", last)
            both = [x]
            if inputs == 2:
                same = b.type(older).shape[1:] == b.type(last).shape[1:]
                op = "relu_conv_bn" if same else "factorized_reduce"
                both.insert(0, made(0, op, older))
            cells = cells_of(self.design)
            output = add_cell(b, name, kind, cells, both, stride if place == 0 else 1)
            self.states, self.number = (last, output), self.number + 1


def _faults(
    model: OwnSkeletonModel, kinds: Sequence[str], ops: Iterable[str]
) -> Iterator[tuple[Path, NasirError]]:
    """The faults of a definition that no schema has, with their paths."""
    named, lists, before = model.named, model.lists, [INPUT]
    yield from _step_faults("stem", lists, named, before, ops)
    for place, (name, stage) in enumerate(zip(model.stage_names, model.stages, strict=True)):
        path: Path = ("stages", place)
        yield from _step_faults(name, lists, named, before, ops)
        if name in before or name in _PREFIXES or re.fullmatch(r"c[0-9]{2,4}", name):
            message = f"a stage cannot be called '{name}': the name is taken"
            yield (*path, "name")[: 2 + bool(stage.name)], NasirError("E109", message)
        if not stage.cell and not stage.steps:
            yield path, NasirError("E109", "a stage has a cell, or steps")
        if stage.cell and stage.cell not in kinds:
            hint = nearest(stage.cell, kinds)
            message = f"there is no cell '{stage.cell}'"
            yield (*path, "cell"), NasirError("E202", message, hint=hint)
        for key in _RANGES:
            try:
                number(getattr(stage, key), _TRIAL)
            except NasirError as error:
                yield (*path, key), error
        before.append(name)
    yield from _step_faults("head", lists, named, before, ops)
    wanted: list[tuple[Path, str]] = [
        (("outputs", i), name) for i, name in enumerate(model.outputs)
    ]
    if model.auxiliary is not None:
        wanted.append((("auxiliary", "after"), model.auxiliary.after))
    for path, name in wanted:
        if name not in before:
            message = f"there is no stage and no step {quoted(name)}"
            yield path, NasirError("E202", message, hint=nearest(name, before))
    if model.auxiliary is not None:
        yield from _step_faults("aux", lists, named, before, ops)


_PREFIXES = ("stem", "head", "aux", "entrance", "image", "signal")


def _step_faults(
    part: str,
    lists: Mapping[str, tuple[Path, Sequence[StepModel]]],
    named: Mapping[str, Sequence[str]],
    before: list[str],
    ops: Iterable[str],
) -> Iterator[tuple[Path, NasirError]]:
    """The faults of the steps of a part; adds their names to `before`."""
    path, steps = lists[part]
    for below, error in step_faults(steps, named[part], before, ops, _TRIAL):
        yield (*path, *below), error
    before += [name for name in named[part] if name not in before]
