"""How a discrete network trains: the form that was fastest where it was measured.

The figures are those of `docs/performance.md`: a step of DARTS_V2 (36 channels, 20 cells, 32
images) on two cores, against the papers' sequence of operations.
"""

from lowering.torch.compiled import compile as compile_network
from lowering.torch.network import Network
from lowering.torch.policies import PolicyRow, compiler_missing
from nasir.types import ImageType
from nasir.wanted import checked


@checked
def training_policy(device: str = "cpu") -> tuple[PolicyRow, PolicyRow]:
    """Whether channels_last and torch.compile are taken on a kind of device (`cpu`, `cuda`)."""
    if device == "cuda":
        missing = compiler_missing("cuda")
        return (
            PolicyRow("channels_last", True, "what tensor cores read; not measured on a GPU"),
            PolicyRow("torch.compile", not missing, missing or "many small kernels become few"),
        )
    return (
        PolicyRow(
            "channels_last", True, "1.6 times the papers' speed, against 1.15 channels first"
        ),
        PolicyRow("torch.compile", False, "no gain over channels_last, minutes of compiling"),
    )


@checked
def prepare_training(module: Network, compiling: str = "auto", layout: str = "auto") -> Network:
    """The network in the form that trains fastest on its device, sharing its weights.

    `compiling` (auto, on, off) and `layout` (auto, channels_last, channels_first) overrule the
    policy. Results are equal but for rounding. `module` itself takes the layout, too.
    """
    device = next((p.device.type for p in module.parameters()), "cpu")
    last, compiled = training_policy(device)
    images = any(isinstance(type_, ImageType) for _, type_ in module.graph.inputs)
    if images and (layout == "channels_last" or (layout == "auto" and last.taken)):
        module.lie_channels_last()
    if compiling == "on" or (compiling == "auto" and compiled.taken):
        return compile_network(module)
    return module
