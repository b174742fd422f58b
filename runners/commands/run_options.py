"""The options of `nasir search`, many of which `nasir evaluate` has too."""

from pathlib import Path
from typing import Annotated, Any

import typer

Space = Annotated[
    str | None, typer.Argument(metavar="SPACE", help="A space's name, or its YAML file.")
]
Method = Annotated[
    str | None, typer.Option(help="A method (`nasir methods`), or a YAML file. darts.")
]
Data = Annotated[
    str | None,
    typer.Option(help="digits, cifar10:PATH, imagefolder:PATH, FILE.npz, text:PATH, …"),
]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="RUN", help="The run directory to make.")
]
Resume = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")
]
Seed = Annotated[int | None, typer.Option(help="0.")]
Epochs = Annotated[
    int | None, typer.Option(help="Epochs in all, tuning too; the method's own. Stages scale.")
]
Batch = Annotated[int | None, typer.Option(help="Pictures, or columns of text, a step.")]
Steps = Annotated[int | None, typer.Option(help="End each epoch after so many steps.")]
Channels = Annotated[int | None, typer.Option(help="Initial channels.")]
Layers = Annotated[int | None, typer.Option(help="Cells; for nasbench201, in a stage.")]
InChannels = Annotated[int | None, typer.Option(help="Channels of the image; what the data has.")]
Hidden = Annotated[int | None, typer.Option(help="Units of the recurrent network.")]
Vocabulary = Annotated[int | None, typer.Option(help="Words; what the data has.")]
ChannelsFraction = Annotated[
    str | None, typer.Option(metavar="1/K", help="Ops see 1/K of the channels.")
]
Mixture = Annotated[
    str | None, typer.Option(help="softmax, dirichlet, gumbel, hard-gumbel, uniform, controller.")
]
Edges = Annotated[str | None, typer.Option(help="none or softmax: weigh edges.")]
Perturb = Annotated[str | None, typer.Option(help="none, noise or pgd.")]
Architect = Annotated[str | None, typer.Option(help="first, second, frozen or reinforce.")]
Regularise = Annotated[str | None, typer.Option(help="l2 or kl.")]
Select = Annotated[str | None, typer.Option(help="argmax, projection, best-of or draw.")]
EarlyStop = Annotated[str | None, typer.Option(help="none or eigenvalue.")]
DropPath = Annotated[
    float | None, typer.Option(help="Largest probability to drop an edge, in the last epoch.")
]
Interval = Annotated[int | None, typer.Option(help="Epochs between projections. 5.")]
Candidates = Annotated[int | None, typer.Option(help="Architectures that best-of measures.")]
Batches = Annotated[
    int | None, typer.Option(help="Held-out batches that selection measures on; 0 for all.")
]
Split = Annotated[
    float | None, typer.Option(help="Share of the training data for the weights. 0.5.")
]
Shuffled = Annotated[
    bool,
    typer.Option("--shuffled", help="Split by the seed, not in file order."),
]
Limit = Annotated[int | None, typer.Option(help="At most so many pictures (tokens) of each part.")]
Cutout = Annotated[int | None, typer.Option(help="Side of the cut-out square. 0.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A value: optimizer.lr=0.05."),
]
Validate = Annotated[str | None, typer.Option(help="each or last (epoch).")]
Memory = Annotated[str | None, typer.Option(help="none, cells or states.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")]
Precision = Annotated[str | None, typer.Option(help="float32 or bf16.")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Repeat to the bit on a GPU too.")
]
AsPublished = Annotated[
    bool, typer.Option("--as-published", help="Keep known defects of the published code.")
]


def fresh_run(stem: str) -> Path:
    """runs/STEM, numbered where that is taken."""
    number, path = 1, Path("runs") / stem
    while path.exists():
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return path


def value(text: str) -> tuple[str, str]:
    """The name and the value of a `--set`. Raises E505."""
    name, equals, given = text.partition("=")
    if not equals:
        hint = "for example --set optimizer.lr=0.05"
        raise wrong(f"--set '{text}' is no NAME=VALUE", hint)
    return name, given


def wrong(message: str, hint: str) -> Any:
    """E505, to be raised."""
    from nasir import NasirError

    return NasirError("E505", message, hint=hint)
