"""The file of a space, as pydantic checks it and as its JSON Schema tells editors."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
)

from nasir.expressions import LENGTH_LIMIT
from nasir.macros import MACROS
from nasir.own_ops import Line, OpModel, Word
from nasir.space.own_skeletons import OwnSkeletonModel
from nasir.space.skeletons import SKELETONS

# Own ops are words too; the list is there for editors to complete.
Op = Annotated[
    StrictStr,
    Field(
        json_schema_extra={
            "anyOf": [{"enum": [*sorted(MACROS)]}, {"pattern": "^[A-Za-z][A-Za-z0-9_]*$"}]
        }
    ),
]
Combine = Literal["sum", "mean", "concat"]
Count = Annotated[StrictInt, Field(ge=1, le=1 << 20)]
Open = Annotated[
    Annotated[Count, Tag("<number>")]
    | Annotated[tuple[Count, ...], Field(min_length=1, max_length=1024), Tag("<list>")],
    Discriminator(lambda value: "<list>" if isinstance(value, (list, tuple)) else "<number>"),
]
"""A number, or a list of those that a genotype selects from."""
Skeleton = Annotated[
    Annotated[StrictStr, Field(json_schema_extra={"enum": [*sorted(SKELETONS)]}), Tag("<word>")]
    | Annotated[OwnSkeletonModel, Tag("<own>")],
    Discriminator(
        lambda value: "<own>" if isinstance(value, (dict, OwnSkeletonModel)) else "<word>"
    ),
]
Condition = Annotated[StrictStr, Field(max_length=LENGTH_LIMIT)]
State = Annotated[StrictInt, Field(ge=0, le=63)]


class _Model(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class EdgeModel(_Model):
    """A possible edge."""

    source: State = Field(description="The state that the edge reads.")
    node: State = Field(description="The node that the edge feeds; it comes after the source.")
    ops: tuple[Op, ...] | None = Field(
        default=None, min_length=1, description="The edge's own ops, where they differ."
    )


class CellModel(_Model):
    """A kind of cell. Its states are its inputs, from 0, and then its nodes."""

    inputs: Annotated[StrictInt, Field(ge=1, le=16)] = Field(description="The number of inputs.")
    nodes: Annotated[StrictInt, Field(ge=1, le=32)] = Field(description="The number of nodes.")
    edges: Annotated[
        Annotated[Literal["all"], Tag("<word>")] | Annotated[tuple[EdgeModel, ...], Tag("<list>")],
        Discriminator(lambda value: "<word>" if isinstance(value, str) else "<list>"),
    ] = Field(
        default="all",
        description="Which edges there can be: 'all' from each earlier state, or a list.",
    )
    ops: tuple[Op, ...] | None = Field(
        default=None,
        min_length=1,
        description="The ops of each edge that lists none of its own; their order is the order "
        "of a choice's options.",
    )
    exclude: tuple[Op, ...] = Field(
        default=(), description="Ops that the supernet mixes and selection never picks."
    )
    normalise: tuple[Op, ...] = Field(
        default=(), description="Ops behind which the supernet has a batch norm without weights."
    )
    keep: Annotated[
        Annotated[Literal["all"], Tag("<word>")]
        | Annotated[StrictInt, Field(ge=1, le=32), Tag("<number>")],
        Discriminator(lambda value: "<word>" if isinstance(value, str) else "<number>"),
    ] = Field(default="all", description="How many edges a node keeps: a number, or 'all'.")
    repeats: StrictBool = Field(
        default=False, description="Whether a node may read one state through several edges."
    )
    combine: Combine = Field(
        default="sum", description="How the edges into a node become one value."
    )
    output: Annotated[
        Annotated[Literal["any"], Tag("<word>")]
        | Annotated[tuple[State, ...], Field(min_length=1), Tag("<list>")],
        Discriminator(lambda value: "<word>" if isinstance(value, str) else "<list>"),
    ] = Field(
        description="The states that leave the cell, a single one as it is; 'any': a genotype "
        "says which of its nodes.",
    )
    join: Combine = Field(default="concat", description="How the states of the output are joined.")


class ParentsModel(_Model):
    """A kind of cell with one input whose ops stand on nodes, which read given numbers of states.

    State 0 is the input; what the output reads leaves the cell.
    """

    node_ops: tuple[Op, ...] = Field(min_length=1, description="The ops that a node selects from.")
    parents: tuple[Annotated[StrictInt, Field(ge=1, le=32)], ...] = Field(
        min_length=1,
        max_length=32,
        description="How many earlier states each node reads; there are as many nodes as numbers.",
    )
    output_parents: Annotated[StrictInt, Field(ge=1, le=33)] = Field(
        description="How many states the output reads."
    )


class ModuleModel(_Model):
    """A kind of cell with one input whose ops stand on nodes: any graph within limits."""

    node_ops: tuple[Op, ...] = Field(min_length=1, description="The ops that a node selects from.")
    most_nodes: Annotated[StrictInt, Field(ge=1, le=5)] = Field(
        description="How many nodes there are at most."
    )
    most_edges: Annotated[StrictInt, Field(ge=1, le=21)] = Field(
        description="How many edges there are at most, those into the output included."
    )


class LikeModel(_Model):
    """A kind of cell with the same choices as another, made independently."""

    like: Word = Field(description="The kind of cell whose description holds here too.")


def _tag(value: Any) -> str:
    """The tag of the way in which a value describes a cell.

    Tags stand in pydantic's locations: the brackets keep them apart from the file's own keys.
    """
    for tag, model, field in (
        ("<like>", LikeModel, "like"),
        ("<parents>", ParentsModel, "parents"),
        ("<module>", ModuleModel, "most_nodes"),
    ):
        if isinstance(value, model) or (isinstance(value, dict) and field in value):
            return tag
    return "<cell>"


class LayoutModel(_Model):
    """The layout of a space file: layers of the kinds of cell.

    Left out, it is the published one: pattern [normal], reduce at 1/3 and 2/3 of the layers.
    """

    pattern: tuple[Word, ...] = Field(
        min_length=1, description="The kinds of the layers, over and over."
    )
    places: dict[Word, Annotated[tuple[StrictInt | StrictStr, ...], Field(min_length=1)]] = Field(
        default={},
        description="Layers of another kind: from 0, from the end (-1), or fractions (1/3 is "
        "layer layers // 3).",
    )
    halves: tuple[Word, ...] = Field(
        default=(), description="The kinds whose cells halve height and width."
    )
    doubles: tuple[Word, ...] | None = Field(
        default=None,
        description="The kinds from whose cells on the channels are doubled; those in halves, "
        "unless this says otherwise.",
    )


class SizeModel(_Model):
    """The size of the space's own network, where it is not the skeleton's.

    A list is a decision: a genotype selects one of its numbers.
    """

    channels: Open | None = Field(default=None, description="Initial channels.")
    layers: Open | None = Field(default=None, description="Cells; with nasbench201 in a stage.")
    layers1: Open | None = Field(default=None, description="Cells of a stage; nasbench201, 101.")
    layers2: Open | None = Field(default=None, description="Cells of the second stage.")
    layers3: Open | None = Field(default=None, description="Cells of the third stage.")
    classes: Count | None = Field(default=None, description="Length of the logits.")
    resolution: Count | None = Field(default=None, description="Height and width of an image.")
    in_channels: Count | None = Field(default=None, description="Channels of an image.")
    columns: Count | None = Field(
        default=None, description="Width of an image where it is not its height; own skeletons."
    )
    stage1: Open | None = Field(default=None, description="Channels of a stage; natsbench_size.")
    stage2: Open | None = Field(default=None, description="Channels of the second stage.")
    stage3: Open | None = Field(default=None, description="Channels of the third stage.")
    stage4: Open | None = Field(default=None, description="Channels of the fourth stage.")
    stage5: Open | None = Field(default=None, description="Channels of the fifth stage.")


class SpaceModel(_Model):
    """A search space of cells."""

    nasir: Literal[1] = Field(description="The version of this format.")
    space: Word = Field(description="The name of the space.")
    title: Line = Field(default="", description="What people call the space.")
    paper: Line = Field(default="", description="Where the space was published.")
    skeleton: Skeleton = Field(
        description="The skeleton that the cells stand in, or its stem, stages and head."
    )
    layout: LayoutModel | None = Field(default=None, description="Where each kind of cell stands.")
    size: SizeModel = Field(default=SizeModel(), description="The size of its own network.")
    where: tuple[Condition, ...] = Field(
        default=(),
        max_length=64,
        description="Conditions that genotypes fulfil: `params < 500k`, `normal.none <= 2`.",
    )
    ops: dict[Word, OpModel] = Field(
        default={},
        description="Ops that the space defines; one with the name of a shipped op replaces it.",
    )
    cells: dict[
        Word,
        Annotated[
            Annotated[CellModel, Tag("<cell>")]
            | Annotated[LikeModel, Tag("<like>")]
            | Annotated[ParentsModel, Tag("<parents>")]
            | Annotated[ModuleModel, Tag("<module>")],
            Discriminator(_tag),
        ],
    ] = Field(min_length=1, description="The kinds of cell by name, in order.")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a space file, for editors."""
    schema = SpaceModel.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "nasir space",
    }
