"""Arguments of a network: checked, in the order of a program, with what is drawn."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from lowering.python_text import Names, identifier
from lowering.torch.ranks import BatchPart
from nasir import Graph, ImageType, NasirError, Node, SequenceType, TokenType, Type, VectorType
from nasir.errors import Where, quoted
from nasir.graph import body_of
from nasir.ops import OpSpec
from nasir.ops.arithmetic import GAUSSIAN
from nasir.passes.rewriting import DRAWN, PROBABILITY, is_draw

_SEEDS = 2**63 - 1


class Entrance:
    """From the arguments of a network to the inputs of any graph that passes made of its own.

    What random nodes draw is drawn here, for all of them and in the order of the plain graph, so
    that a draw belongs to a node and a call: it does not depend on passes, on what is computed
    again, compiled or live. Evaluation draws nothing that only training reads. Of a `part` of a
    batch, the draws are those for the examples of the whole, and so are batch norms' statistics if
    processes take them `together`.
    """

    def __init__(self, plain: Graph, *, together: bool = False) -> None:
        self._together = together
        self._draws = dict(_draws(plain))
        self._choices = {choice.name: len(choice.options) for choice in plain.choices}
        inner = {*self._draws, *self._choices, PROBABILITY}
        self._data = tuple(row for row in plain.inputs if row[0] not in inner)
        self._single = next(_of_one_value(plain), None)
        self.part: BatchPart | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of a call's arguments."""
        given = Names()
        names = (*(name for name, _ in self._data), *(("mixture",) if self._choices else ()))
        return tuple(given.fresh(identifier(name)) for name in names)

    def __call__(
        self, inputs: tuple[Any, ...], graph: Graph, *, training: bool, drop_path: float
    ) -> tuple[Tensor, ...]:
        """The inputs of the graph, in its order."""
        values = self._checked(inputs)
        batch = self._batch(values)
        whole = self.part.total if self.part and self._together else batch
        if training and whole == 1 and self._single:
            raise _too_few(*self._single)
        if self._draws:
            values |= self._drawn(batch, next(iter(values.values())).device, training=training)
        floats = next(x for x in values.values() if x.is_floating_point())
        for name, _ in graph.inputs:
            if name not in values:
                values[name] = floats.new_full((1,), drop_path)
        return tuple(values[name] for name, _ in graph.inputs)

    def _batch(self, values: Mapping[str, Tensor]) -> int:
        name, type_ = self._data[0]
        return values[name].shape[1 if isinstance(type_, (TokenType, SequenceType)) else 0]

    def _drawn(self, batch: int, device: torch.device, *, training: bool) -> dict[str, Tensor]:
        """Draws for the random nodes: one call of the generator for all draws of one kind."""
        part = self.part or BatchPart(0, batch, batch)
        kinds: dict[tuple[bool, Type], list[str]] = {}
        for name, kind in self._draws.items():
            kinds.setdefault(kind, []).append(name)
        found: dict[str, Tensor] = {}
        for (seeds, type_), names in kinds.items():
            if seeds:  # on the host, where generators are seeded
                rows = torch.randint(_SEEDS, (len(names), 1))
                rows = torch.cat(
                    [rows, torch.tensor((part.first, part.total)).expand(len(names), 2)], 1
                )
            elif training:
                of_examples = isinstance(type_, VectorType)
                shape = (len(names), *((part.total,) if of_examples else ()), *type_.shape)
                rows = torch.rand(shape, dtype=torch.float32, device=device)
                rows = rows[:, part.span] if of_examples else rows
            else:
                continue
            found |= zip(names, rows.unbind(), strict=True)
        return found

    def _checked(self, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
        """The data and the weights of choices by name."""
        count = len(self._data) + bool(self._choices)
        if len(inputs) != count:
            wanted = [f"{name} {_shape(type_)}" for name, type_ in self._data]
            wanted += ["a mixture"] if self._choices else []
            message = f"the network takes {count} values, {', '.join(wanted)}, not {len(inputs)}"
            raise NasirError("E401", message)
        values: dict[str, Tensor] = {}
        for (name, type_), value in zip(self._data, inputs, strict=False):
            _check(name, type_, value)
            values[name] = value
        if self._choices:
            values |= self._rows(inputs[-1])
        return values

    def _rows(self, mixture: Any) -> dict[str, Tensor]:
        if not isinstance(mixture, Mapping):
            raise NasirError(
                "E305",
                "the network takes a mixture last, which maps the name of each choice to its "
                f"weights, not {_given(mixture)}",
            )
        rows = cast("Mapping[str, Any]", mixture)
        for name, count in self._choices.items():
            if name not in rows:
                hint = f"its weights have the shape ({count},)"
                raise NasirError("E401", f"the mixture has no choice {quoted(name)}", hint=hint)
            row = rows[name]
            if not isinstance(row, Tensor) or row.shape != (count,):
                raise NasirError(
                    "E503",
                    f"the weights of {quoted(name)} have the shape ({count},), not {_given(row)}",
                )
        return {name: rows[name] for name in self._choices}


def without_unread(graph: Graph) -> Graph:
    """The graph without the draws and the probability that nothing reads."""
    kept = (
        (name, type_)
        for name, type_ in graph.inputs
        if graph.readers[name] or not (name == PROBABILITY or is_draw(name))
    )
    return replace(graph, inputs=tuple(kept))


def _draws(plain: Graph) -> Iterator[tuple[str, tuple[bool, Type]]]:
    """The inputs that are draws by name: whether each is a seed, and its type.

    A node may also be given a value or data, which a network does not draw.
    """
    inputs = {name: type_ for name, type_ in plain.inputs if is_draw(name)}
    for node in plain:
        if isinstance(node.op, OpSpec) and node.op in DRAWN and node.inputs[-1] in inputs:
            name = node.inputs[-1]
            yield name, (DRAWN[node.op] is GAUSSIAN, inputs[name])


def _of_one_value(graph: Graph) -> Iterator[tuple[Node, Type]]:
    """The batch norms that see one value of each channel in each example."""
    for node in graph:
        body = body_of(node)
        if body is not None:
            yield from _of_one_value(body)
        elif node.has("stateful"):
            type_ = graph.types[node.inputs[0]]
            if isinstance(type_, VectorType) or type_.shape[1:] == (1, 1):
                yield node, type_


def _too_few(node: Node, type_: Type) -> NasirError:
    return NasirError(
        "E302",
        f"a batch of one example leaves batch norm one value for each channel of {type_}",
        Where(f"node {node.name}"),
        hint="train with batches of two or more, or with larger images",
    )


def _check(name: str, type_: Type, value: Any) -> None:
    """Raises an error where the value is not of that type; torch.jit's shapes are no numbers."""
    if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        return
    lead = 2 if isinstance(type_, (TokenType, SequenceType)) else 1
    fits = (
        isinstance(value, Tensor)
        and value.dim() == lead + len(type_.shape)
        and value.shape[lead:] == type_.shape
        and value.is_floating_point() != isinstance(type_, TokenType)
        and value.dtype != torch.bool
    )
    if not fits:
        kind = "whole" if isinstance(type_, TokenType) else "floating-point"
        raise NasirError(
            "E305",
            f"{quoted(name)} takes a tensor {_shape(type_)} of {kind} numbers, not {_given(value)}",
            hint="build the network for the size of the images it is to read"
            if isinstance(type_, ImageType)
            else "",
        )


def _shape(type_: Type) -> str:
    lead = ("T", "N") if isinstance(type_, (TokenType, SequenceType)) else ("N",)
    return f"({', '.join(map(str, (*lead, *type_.shape)))})"


def _given(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"one of shape {tuple(value.shape)} and {value.dtype}"
    return f"a value of the type {type(value).__name__}"
