"""An op from outside: mixing of positions by the Fourier transform (FNet, arXiv:2105.03824)."""

from nasir import Extension, ImageType
from nasir.macros import EdgeAttrs
from nasir.ops import Macro, NoAttrs, OpSpec
from nasir.ops.spec import expect


def infer(attrs, inputs):
    """(C, H, W) -> (C, H, W): Re F_h(F_w(x)), FNet's equation 3 over rows and columns."""
    return expect(ImageType, inputs[0], "fourier")


def macs(attrs, inputs, output):
    """Two products with Fourier matrices, real and imaginary part: what ONNX's DFT is at most."""
    c, h, w = output.shape
    return 2 * c * h * w * (h + w)


def torch_rule(e, attrs, x):
    import torch

    return e.call(torch.real, e.call(torch.fft.fft2, x))


def onnx_rule(e, attrs, x):
    values = e.part("complex", "Unsqueeze", x, e.integers("last", -1))
    for axis in (2, 3):
        axes = e.part(f"axis{axis}", "Squeeze", e.integers(f"number{axis}", axis))
        values = e.part(f"dft{axis}", "DFT", values, None, axes)
    real = e.part("real", "Gather", values, e.integers("first", 0), axis=-1)
    return e.node("Squeeze", real, e.integers("end", -1))


FOURIER = OpSpec(
    "fourier", "real part of the Fourier transform over positions", NoAttrs, infer,
    macs=macs, traits=frozenset({"linear", "keeps_zero"}),
)  # fmt: skip


def body(scope, inputs, attrs):
    """ReLU, mixing, 1x1 convolution, batch norm."""
    x = scope("fourier", scope("relu", inputs[0], name="relu"), name="mix")
    x = scope("conv2d", x, name="conv", out=scope.channels(x), kernel=1, stride=attrs.stride)
    return scope("batch_norm", x, name="bn", affine=attrs.affine)


extension = Extension(
    name="fourier",
    version="1.0",
    ops=[FOURIER],
    macros=[
        Macro("fourier_mix", "ReLU, FNet mixing, 1x1, batch norm", EdgeAttrs, body, on_edge=True)
    ],
    torch={"fourier": torch_rule},
    onnx={"fourier": onnx_rule},
    python={"fourier": lambda site: f"torch.fft.fft2({site.x}).real"},
)
