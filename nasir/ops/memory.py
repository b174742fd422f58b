"""Bodies that are called once: as they are, or to be run again for the backward pass."""

from nasir.errors import NasirError
from nasir.ops.spec import BodyAttrs, OpSpec, body_params
from nasir.types import Type


class CallAttrs(BodyAttrs):
    """`body` maps the node's inputs to its value."""


def _infer(a: CallAttrs, inputs: tuple[Type, ...]) -> Type:
    wanted = tuple(type_ for _, type_ in a.body.inputs)
    if inputs != wanted:
        given = ", ".join(map(str, inputs))
        message = f"the body takes ({', '.join(map(str, wanted))}), the node gives it ({given})"
        raise NasirError("E305", message)
    results = tuple(a.body.types[name] for name in a.body.outputs)
    if len(results) != 1:
        returned = ", ".join(map(str, results))
        message = f"the body returns ({returned}), the node has one"
        raise NasirError("E305", message)
    return results[0]


CALL = OpSpec(
    name="call",
    summary="a body, called: a function of its own in what is lowered",
    attrs=CallAttrs,
    arity=(1, None),
    infer=_infer,
    params=body_params,
    traits=frozenset({"fused"}),
)

RECOMPUTE = OpSpec(
    name="recompute",
    summary="a body, of which training keeps the inputs alone and which it runs again for backward",
    attrs=CallAttrs,
    arity=(1, None),
    infer=_infer,
    params=body_params,
    traits=frozenset({"fused", "recomputed"}),
)

OPS = (RECOMPUTE, CALL)
