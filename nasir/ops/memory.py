"""What training keeps for the backward pass, as an op."""

from nasir.errors import NasirError
from nasir.ops.spec import BodyAttrs, OpSpec, body_params
from nasir.types import Type


class RecomputeAttrs(BodyAttrs):
    """`body` maps the node's inputs to its value."""


def _infer(a: RecomputeAttrs, inputs: tuple[Type, ...]) -> Type:
    wanted = tuple(type_ for _, type_ in a.body.inputs)
    if inputs != wanted:
        given = ", ".join(map(str, inputs))
        message = f"the body takes ({', '.join(map(str, wanted))}), recompute gives it ({given})"
        raise NasirError("E305", message)
    results = tuple(a.body.types[name] for name in a.body.outputs)
    if len(results) != 1:
        returned = ", ".join(map(str, results))
        message = f"the body returns ({returned}), recompute has one value"
        raise NasirError("E305", message)
    return results[0]


RECOMPUTE = OpSpec(
    name="recompute",
    summary="a body, of which training keeps the inputs alone and which it runs again for backward",
    attrs=RecomputeAttrs,
    arity=(1, None),
    infer=_infer,
    params=body_params,
    traits=frozenset({"fused", "recomputed"}),
)

OPS = (RECOMPUTE,)
