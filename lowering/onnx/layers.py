"""ONNX rules of the primitives of images, vectors, tokens and sequences."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from lowering.onnx.rule import END, Emit, OnnxEmitter
from nasir.graph import graph_of
from nasir.ops import Attrs, NoAttrs
from nasir.ops.arithmetic import MixAttrs, StrideAttrs
from nasir.ops.layers import (
    AvgPoolAttrs,
    BatchNormAttrs,
    ChannelsAttrs,
    ChannelShuffleAttrs,
    ChunkAttrs,
    ConvAttrs,
    CropAttrs,
    GroupNormAttrs,
    MaxPoolAttrs,
    PadAttrs,
    SquareAttrs,
)
from nasir.ops.sequence import (
    AxisAttrs,
    ConvTransposeAttrs,
    LayerNormAttrs,
    MatmulAttrs,
    ReshapeAttrs,
    ResizeAttrs,
    ScanAttrs,
    TransposeAttrs,
    WidthAttrs,
)


def _conv2d(e: OnnxEmitter, a: ConvAttrs, x: ir.Value, *weights: ir.Value) -> ir.Value:
    return e.node(
        "Conv",
        x,
        *weights,
        kernel_shape=a.kernel,
        strides=a.stride,
        pads=(*a.margins, *a.margins),
        dilations=a.dilation,
        group=e.width("group", "groups", a.groups),
    )


def _crop(e: OnnxEmitter, a: CropAttrs, x: ir.Value) -> ir.Value:
    starts = e.integers("starts", a.top, a.left)
    return e.node("Slice", x, starts, e.integers("ends", END, END), e.integers("axes", 2, 3))


def _pad(e: OnnxEmitter, a: PadAttrs, x: ir.Value) -> ir.Value:
    """Zeros: Pad's default value."""
    pads = e.integers("pads", 0, 0, a.bottom, a.right)
    return e.node("Pad", x, pads, None, e.integers("axes", 2, 3))


def _channels(e: OnnxEmitter, a: ChannelsAttrs, x: ir.Value) -> ir.Value:
    start = _number(e, "start", a.start)
    end = e.part("end", "Add", start, _number(e, "count", a.count))
    return e.node("Slice", x, start, end, e.integers("axes", 1))


def _number(e: OnnxEmitter, name: str, number: int) -> ir.Value:
    """A vector of one number: one of the call where the instances of a function differ in it."""
    if name not in e.widths:
        return e.integers(name, number)
    width = e.part("width", "Constant", value_int=e.width("value_int", name, number))
    return e.part(name, "Unsqueeze", width, e.integers("zero", 0))


def _shuffle(e: OnnxEmitter, a: ChannelShuffleAttrs, x: ir.Value) -> ir.Value:
    return _interleaved(e, a.groups, x)


def _interleaved(e: OnnxEmitter, count: int, x: ir.Value) -> ir.Value:
    """Groups and their members become two axes, which are swapped; sizes are the input's own."""
    size = e.part("size", "Shape", x, start=2)
    groups = e.part("groups", "Concat", e.integers("split", 0, count, -1), size, axis=0)
    parts = e.part("parts", "Reshape", x, groups)
    swapped = e.part("swapped", "Transpose", parts, perm=(0, 2, 1, 3, 4))
    return e.node("Reshape", swapped, e.part("shape", "Shape", x))


def _deep(e: OnnxEmitter, a: SquareAttrs, x: ir.Value) -> ir.Value:
    """ONNX has the pixels before the channels: they are interleaved, as torch has them."""
    return _interleaved(e, a.block**2, e.part("deep", "SpaceToDepth", x, blocksize=a.block))


def _spread(e: OnnxEmitter, a: SquareAttrs, x: ir.Value) -> ir.Value:
    return e.node("DepthToSpace", x, blocksize=a.block, mode="CRD")


def _group_norm(e: OnnxEmitter, a: GroupNormAttrs, x: ir.Value, *affine: ir.Value) -> ir.Value:
    """An instance norm of groups as channels: GroupNormalization is whole from opset 21 on."""
    groups = _number(e, "groups", a.groups)
    shape = e.part(
        "shape", "Concat", e.integers("batch", 0), groups, e.integers("rest", -1), axis=0
    )
    parts = e.part("parts", "Reshape", x, shape)
    ones, zeros = _constants(e, groups)
    normal = e.part("normal", "InstanceNormalization", parts, ones, zeros, epsilon=a.eps)
    whole = e.part("whole", "Shape", x)
    if not affine:
        return e.node("Reshape", normal, whole)
    axes = e.integers("axes", 1, 2)
    scale, shift = (e.part("column", "Unsqueeze", each, axes) for each in affine)
    scaled = e.part("scaled", "Mul", e.part("image", "Reshape", normal, whole), scale)
    return e.node("Add", scaled, shift)


def _batch_norm(e: OnnxEmitter, a: BatchNormAttrs, x: ir.Value, *weights: ir.Value) -> ir.Value:
    *affine, mean, variance = weights
    scale, bias = affine or _constants(e, e.part("shape", "Shape", mean))
    return e.node("BatchNormalization", x, scale, bias, mean, variance, epsilon=a.eps)


def _constants(e: OnnxEmitter, shape: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Ones and zeros of that shape: ONNX has no norm of channels without an affine."""
    return (
        e.part("ones", "ConstantOfShape", shape, value=e.floats(1, 1)),
        e.part("zeros", "ConstantOfShape", shape, value=e.floats(0, 1)),
    )


def _max_pool(e: OnnxEmitter, a: MaxPoolAttrs, x: ir.Value) -> ir.Value:
    """MaxPool pads with -inf, so that positions outside never win."""
    pads = (*a.padding, *a.padding)
    return e.node("MaxPool", x, kernel_shape=a.kernel, strides=a.stride, pads=pads)


def _avg_pool(e: OnnxEmitter, a: AvgPoolAttrs, x: ir.Value) -> ir.Value:
    return e.node(
        "AveragePool",
        x,
        kernel_shape=a.kernel,
        strides=a.stride,
        pads=(*a.padding, *a.padding),
        count_include_pad=int(a.count_padding),
    )


def _silu(e: OnnxEmitter, _: NoAttrs, x: ir.Value) -> ir.Value:
    """Swish came in opset 24: here it is two nodes."""
    return e.node("Mul", x, e.part("gate", "Sigmoid", x))


def _add(e: OnnxEmitter, _: NoAttrs, *terms: ir.Value) -> ir.Value:
    """Two values as Add, which runtimes fuse into the convolution before it."""
    return e.node("Add" if len(terms) == 2 else "Sum", *terms)


def _chunk(e: OnnxEmitter, a: ChunkAttrs, x: ir.Value) -> ir.Value:
    """ONNX cuts into all parts at once."""
    names = (e.body.fresh(f"{e.result.name}.other") for _ in range(a.of - 1))
    outputs = [ir.Value(name=name) for name in names]
    outputs.insert(a.part, e.result)
    attributes = {"axis": -1, "num_outputs": a.of}
    e.body.nodes.append(ir.node("Split", [x], attributes, outputs=outputs, name=e.result.name))
    return e.result


def _node(kind: str, **attributes: float) -> Emit:
    """An ONNX node that reads the inputs and then the weights."""

    def emit(e: OnnxEmitter, _: Attrs, *values: ir.Value) -> ir.Value:
        return e.node(kind, *values, **attributes)

    return emit


def _strided(e: OnnxEmitter, a: StrideAttrs, x: ir.Value) -> ir.Value:
    if a.stride == (1, 1):
        return x
    return e.part(
        "strided",
        "Slice",
        x,
        e.integers("starts", 0, 0),
        e.integers("ends", END, END),
        e.integers("axes", 2, 3),
        e.integers("steps", *a.stride),
    )


def _zero(e: OnnxEmitter, a: StrideAttrs, x: ir.Value) -> ir.Value:
    """Plain zeros: a NaN in the input does not pass, unlike 0 * x."""
    shape = e.part("shape", "Shape", _strided(e, a, x))
    return e.node("ConstantOfShape", shape, value=e.floats(0, 1))


def _gaussian(e: OnnxEmitter, a: StrideAttrs, x: ir.Value) -> ir.Value:
    """Has no seed, so that runs sample independently."""
    return e.node("RandomNormalLike", _strided(e, a, x), mean=0.0, scale=1.0)


def _frozen(e: OnnxEmitter, _: StrideAttrs, x: ir.Value, noise: ir.Value) -> ir.Value:
    """The buffer (1, C, H, W) once for each example."""
    batch = e.part("batch", "Shape", x, start=0, end=1)
    shape = e.part("shape", "Concat", batch, e.integers("ones", 1, 1, 1), axis=0)
    return e.node("Expand", noise, shape)


def _mix(e: OnnxEmitter, a: MixAttrs, mixture: ir.Value, *values: ir.Value) -> ir.Value:
    """ONNX broadcasts the single weights."""
    terms: list[ir.Value] = []
    for value, option in zip(values, a.options, strict=True):
        weight = e.part("weight", "Gather", mixture, e.integers("option", option), axis=0)
        terms.append(e.part("term", "Mul", value, weight))
    return e.node("Sum", *terms)


def _embedding(e: OnnxEmitter, _: WidthAttrs, tokens: ir.Value, weight: ir.Value) -> ir.Value:
    return e.node("Gather", weight, tokens, axis=0)


def _first(e: OnnxEmitter, _: Attrs, x: ir.Value, *_more: ir.Value) -> ir.Value:
    """Returns its input: inference drops nothing."""
    return e.node("Identity", x)


def _ones(e: OnnxEmitter, _: Attrs, like: ir.Value) -> ir.Value:
    """The mask that drops nothing."""
    shape = e.part("shape", "Shape", like, start=-2)
    return e.node("ConstantOfShape", shape, value=e.floats(1, 1))


def _scan(
    e: OnnxEmitter, a: ScanAttrs, sequence: ir.Value, state: ir.Value, *rest: ir.Value
) -> ir.Value:
    """The state is what the Scan carries and, once more, what it collects."""
    constants = rest[: len(rest) - len(a.body.params)]
    name = e.result.name
    (_, step_type), (_, state_type), *_ = a.body.inputs
    step = _vector(e, f"{name}.step", step_type.shape[0])
    before = _vector(e, f"{name}.state", state_type.shape[0])
    after = _vector(e, f"{name}.next", state_type.shape[0])
    shown = _vector(e, f"{name}.shown", state_type.shape[0])
    inner = e.body.inner()
    e.apply(inner, graph_of(a.body), (step, before, *constants), rest[len(constants) :], after)
    inner.nodes.append(ir.node("Identity", [after], outputs=[shown], name=shown.name))
    body = ir.Graph([before, step], [after, shown], nodes=inner.nodes, name=f"{name}.body")
    attributes = [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", 1)]
    outputs = [_vector(e, f"{name}.last", state_type.shape[0]), e.result]
    e.body.nodes.append(
        ir.Node("", "Scan", [state, sequence], attributes, outputs=outputs, name=name)
    )
    return e.result


def _vector(e: OnnxEmitter, name: str, width: int) -> ir.Value:
    shape, kind = ir.Shape(["batch", width]), ir.TensorType(e.body.dialect.floats)
    return ir.Value(name=e.body.fresh(name), type=kind, shape=shape)


def _last(e: OnnxEmitter, _: NoAttrs, states: ir.Value) -> ir.Value:
    index = e.part("index", "Constant", value=ir.tensor(np.array(-1, dtype=np.int64)))
    return e.node("Gather", states, index, axis=0)


def _decoder(
    e: OnnxEmitter, _: WidthAttrs, x: ir.Value, weight: ir.Value, bias: ir.Value
) -> ir.Value:
    """Torch keeps the weight as (out, in), and the embedding may share it."""
    turned = e.part("transposed", "Transpose", weight, perm=(1, 0))
    product = e.part("product", "MatMul", x, turned)
    return e.node("Add", product, bias)


def _log_softmax(e: OnnxEmitter, _: NoAttrs, x: ir.Value) -> ir.Value:
    return e.node("LogSoftmax", x, axis=-1)


def _gelu(e: OnnxEmitter, _: NoAttrs, x: ir.Value) -> ir.Value:
    """Gelu came in opset 20, and runtimes have a kernel for it where they have one for Erf."""
    erf = e.part("erf", "Erf", e.part("over", "Div", x, _scalar(e, "root", 2**0.5)))
    twice = e.part("twice", "Mul", x, e.part("sum", "Add", erf, _scalar(e, "one", 1)))
    return e.node("Mul", twice, _scalar(e, "half", 0.5))


def _scalar(e: OnnxEmitter, part: str, number: float) -> ir.Value:
    return e.part(part, "Constant", value=e.floats(number))


def _matmul(e: OnnxEmitter, a: MatmulAttrs, x: ir.Value, y: ir.Value) -> ir.Value:
    """The number of terms is the value's own: instances of a function may differ in it."""
    swapped = (0, 1, 3, 2)
    x = e.part("first", "Transpose", x, perm=swapped) if a.transpose_first else x
    y = e.part("second", "Transpose", y, perm=swapped) if a.transpose_second else y
    if a.scaled:
        terms = e.part(
            "terms", "Cast", e.part("size", "Shape", x, start=-1), to=e.body.dialect.floats
        )
        x = e.part("scaled", "Div", x, e.part("root", "Sqrt", terms))
    return e.node("MatMul", x, y)


def _softmax(e: OnnxEmitter, a: AxisAttrs, x: ir.Value) -> ir.Value:
    return e.node("Softmax", x, axis=a.axis)


def _layer_norm(e: OnnxEmitter, a: LayerNormAttrs, x: ir.Value, *affine: ir.Value) -> ir.Value:
    """ONNX has it along the last axes alone, and not without a scale."""
    last = e.part("last", "Transpose", x, perm=(0, 2, 3, 1)) if a.axis == 1 else x
    if not affine:
        shape = e.part("shape", "Shape", last, start=-1)
        affine = (e.part("ones", "ConstantOfShape", shape, value=e.floats(1, 1)),)
    if a.axis != 1:
        return e.node("LayerNormalization", last, *affine, epsilon=a.eps)
    normal = e.part("normal", "LayerNormalization", last, *affine, epsilon=a.eps)
    return e.node("Transpose", normal, perm=(0, 3, 1, 2))


def _reshape(e: OnnxEmitter, a: ReshapeAttrs, x: ir.Value, *like: ir.Value) -> ir.Value:
    """A 0 keeps the batch."""
    if like:
        return e.node("Reshape", x, e.part("shape", "Shape", *like))
    fields = dict(zip(("channels", "height", "width"), a.sizes, strict=True))
    sizes = [_number(e, name, number) for name, number in fields.items()]
    return e.node("Reshape", x, e.part("shape", "Concat", e.integers("batch", 0), *sizes, axis=0))


def _transpose(e: OnnxEmitter, a: TransposeAttrs, x: ir.Value) -> ir.Value:
    order = [0, 1, 2, 3]
    order[a.first], order[a.second] = a.second, a.first
    return e.node("Transpose", x, perm=order)


def _nearest(e: OnnxEmitter, a: ResizeAttrs, x: ir.Value, *like: ir.Value) -> ir.Value:
    if not like:
        scales = _scales(e, a)
        places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return e.node("Resize", x, None, scales, mode="nearest", **places)
    rows = e.part("rows", "Gather", x, _places(e, x, *like, axis=2), axis=2)
    return e.node("Gather", rows, _places(e, x, *like, axis=3), axis=3)


def _places(e: OnnxEmitter, x: ir.Value, like: ir.Value, axis: int) -> ir.Value:
    """floor(i * (old / new)) in float32, as torch; Resize rounds i / (new / old) otherwise."""
    sizes = (e.part("size", "Shape", v, start=axis, end=axis + 1) for v in (x, like))
    old, new = (e.part("count", "Squeeze", size) for size in sizes)
    zero, one = (e.part("number", "Constant", value_int=number) for number in (0, 1))
    index = e.part("index", "Range", zero, new, one)
    i, before, after = (e.part("float", "Cast", v, to=ir.DataType.FLOAT) for v in (index, old, new))
    place = e.part("place", "Mul", i, e.part("ratio", "Div", before, after))
    whole = e.part("whole", "Cast", e.part("floor", "Floor", place), to=ir.DataType.INT64)
    return e.part("places", "Min", whole, e.part("last", "Sub", old, one))


def _bilinear(e: OnnxEmitter, a: ResizeAttrs, x: ir.Value, *like: ir.Value) -> ir.Value:
    half = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if not like:
        return e.node("Resize", x, None, _scales(e, a), **half)
    batch, size = e.part("batch", "Shape", x, end=2), e.part("size", "Shape", *like, start=2)
    sizes = e.part("sizes", "Concat", batch, size, axis=0)
    return e.node("Resize", x, None, None, sizes, **half)


def _scales(e: OnnxEmitter, a: ResizeAttrs) -> ir.Value:
    scales = np.array((1, 1, *a.factor), dtype=np.float32)
    return e.part("scales", "Constant", value=ir.tensor(scales))


def _conv_transpose2d(
    e: OnnxEmitter, a: ConvTransposeAttrs, x: ir.Value, *weights: ir.Value
) -> ir.Value:
    return e.node(
        "ConvTranspose",
        x,
        *weights,
        kernel_shape=a.kernel,
        strides=a.stride,
        pads=(*a.margins, *a.margins),
        output_padding=a.extra,
        dilations=a.dilation,
        group=e.width("group", "groups", a.groups),
    )


RULES: Mapping[str, Emit] = {
    "conv2d": _conv2d,
    "crop": _crop,
    "pad": _pad,
    "channels": _channels,
    "channel_shuffle": _shuffle,
    "space_to_depth": _deep,
    "depth_to_space": _spread,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_pool": _node("GlobalAveragePool"),
    "relu": _node("Relu"),
    "sigmoid": _node("Sigmoid"),
    "tanh": _node("Tanh"),
    "silu": _silu,
    "hardsigmoid": _node("HardSigmoid", alpha=1 / 6, beta=0.5),  # its own slope is 0.2
    "hardswish": _node("HardSwish"),
    "gelu": _gelu,
    "matmul": _matmul,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "reshape": _reshape,
    "transpose": _transpose,
    "resize_nearest": _nearest,
    "resize_bilinear": _bilinear,
    "conv_transpose2d": _conv_transpose2d,
    "add": _add,
    "mul": _node("Mul"),
    "concat": _node("Concat", axis=1),
    "sub": _node("Sub"),
    "mean": _node("Mean"),
    "flatten": _node("Flatten", axis=1),
    "linear": _node("Gemm", transB=1),
    "project": _node("MatMul"),
    "chunk": _chunk,
    "zero": _zero,
    "gaussian": _gaussian,
    "frozen_gaussian": _frozen,
    "mix": _mix,
    "drop_path": _first,
    "embedding": _embedding,
    "word_dropout": _first,
    "dropout_mask": _ones,
    "masked": _first,
    "scan": _scan,
    "last": _last,
    "decoder": _decoder,
    "log_softmax": _log_softmax,
}
