"""Writing a network as an ONNX file, node by node from the graph."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir
from torch import Tensor, nn

from lowering.onnx.model import make_model
from lowering.plan import Plan, make_plan
from nasir import Graph, NasirError, run_passes
from nasir.files import write_atomically
from nasir.formats.onnx_model import seal
from nasir.passes import DISCRETE, EVALUATION
from nasir.passes.random_ops import given_inputs
from nasir.wanted import checked


@checked
def to_onnx(graph: Graph, module: nn.Module, path: str | Path, *, inline: bool = False) -> Path:
    """Write the network with the module's weights to `path`, which is returned.

    Input `image` (batch, C, H, W) and output `logits` (batch, classes) in float32, the batch
    symbolic; in inference, without the auxiliary head; opset `OPSET`, IR version `IR_VERSION`. A
    language model reads `tokens` (time, batch) in int64 and `hidden` (batch, units), and gives
    `log_probabilities` and `next_hidden`; its cell is called from a `Scan`, for any time. Each kind
    of cell is one function in the domain `nasir`, called with the weights of each instance under
    their stable keys; `inline` writes the same nodes without functions. The model's metadata holds
    the genotype. Equal calls write equal bytes. Nothing is written unless the model passes ONNX's
    full checker.
    """
    content = encode(graph, module.state_dict(), inline=inline)
    return write_atomically(Path(path), content)


def encode(graph: Graph, weights: Mapping[str, Tensor], *, inline: bool = False) -> bytes:
    """The checked model as a file's content."""
    lowered, _ = run_passes(replace(graph, auxiliary=()), (*DISCRETE, *EVALUATION))
    lowered = replace(lowered, inputs=given_inputs(lowered))  # nothing reads the other any more
    plan = Plan(lowered, (), lowered.nodes) if inline else make_plan(lowered)
    proto = check_model(ir.to_proto(make_model(plan, weights)))
    seal(proto)
    return proto.SerializeToString(deterministic=True)


def check_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that ONNX infers, if its full checker takes it.

    Strict shape inference goes through the functions and must confirm the shapes that the graph's
    types gave to the values of the main graph.
    """
    try:
        # Its annotations are incomplete.
        onnx.checker.check_model(model, full_check=True)  # pyright: ignore[reportUnknownMemberType]
        return onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        raise NasirError("E504", f"ONNX's checker rejects the export: {reason}") from error
