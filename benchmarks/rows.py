"""The benchmarks: each is a function that measures one group of rows."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import gpu, networks, processes, supernets, words
from benchmarks.measure import Result, interleaved, process
from benchmarks.stores import write_large_store


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named group, which is skipped where `missing` gives a reason."""

    name: str
    title: str
    run: Callable[[int], list[Result]]
    missing: Callable[[], str] = str


def start_up(rounds: int) -> list[Result]:
    """Whole processes, start included; asked is 10 ms more than over the bare interpreter."""
    nasir = ("-m", "nasir")
    return interleaved(
        {
            "python -c pass": process("-c", "pass"),
            "import nasir": process("-c", "import nasir"),
            "nasir --help": process(*nasir, "--help"),
            "nasir cost darts_v2": process(*nasir, "cost", "darts_v2"),
        },
        rounds,
        {"import nasir": 0.09, "nasir --help": 0.05, "nasir cost darts_v2": 0.14},
    )


def lowering_time(rounds: int) -> list[Result]:
    """DARTS_V2 (36, 20, auxiliary head) from its genotype, without torch.compile."""
    import nasir
    from lowering import to_torch
    from nasir.passes import DISCRETE
    from nasir.template import meaning, template

    def build() -> nasir.Graph:
        meaning.cache_clear()
        template.cache_clear()
        return nasir.network("darts_v2", auxiliary=True)

    def passes() -> object:
        return nasir.run_passes(build(), DISCRETE)

    def all_of_it() -> object:
        return to_torch(build()).programs

    return interleaved(
        {"build": build, "build, passes": passes, "build, passes, lower": all_of_it},
        rounds,
        {"build, passes, lower": 1.0},
    )


def spaces(rounds: int) -> list[Result]:
    """Numbers, draws and ids of genotypes: plain Python, so one core.

    Draws from one generator are a process of their own, like those of `nasir sample`: the collector
    looks through all that a process holds, and this one holds much.
    """
    import nasir

    cells = tuple(nasir.enumerate_genotypes(nasir.load_space("nasbench201")))
    darts = nasir.load_space("darts")
    drawn = tuple(nasir.sample(darts, seed) for seed in range(10_000))
    names = (
        "15,625 NAS-Bench-201 ids",
        "100,000 DARTS samples, a seed each",
        "100,000 DARTS samples, one generator, whole process",
        "10,000 DARTS ids",
        "costs of 15,625 networks",
    )

    from_one_generator = process(
        "-c",
        "import nasir, random; darts, source = nasir.load_space('darts'), random.Random(0); "
        "kept = [nasir.sample(darts, source) for _ in range(100_000)]",
    )

    return interleaved(
        {
            names[0]: lambda: [nasir.canonical_id(genotype) for genotype in cells],
            names[1]: lambda: [nasir.sample(darts, seed) for seed in range(100_000)],
            names[2]: from_one_generator,
            names[3]: lambda: [nasir.canonical_id(genotype) for genotype in drawn],
            names[4]: lambda: list(nasir.costs("nasbench201", cells)),
        },
        max(3, rounds // 3),
        dict(zip(names, (0.25, 0.7, 0.7, 3.0, 20.0), strict=True)),
    )


def look_up(rounds: int) -> list[Result]:
    """A store as large as NAS-Bench-101 made up: 423,624 modules, 72 accuracies each, 249 MiB."""
    import tempfile
    from pathlib import Path

    from runners.benchmarks import open_store

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.bench"
        key = write_large_store(path)

        def once() -> None:
            store = open_store(path)
            assert store.lookup(key) is not None

        return interleaved(
            {
                "python -c pass": process("-c", "pass"),
                "open, look up": once,
                "nasir query": process("-m", "nasir", "query", key, "--data", str(path)),
            },
            rounds,
            {"open, look up": 0.05, "nasir query": 0.15},
        )


def loader(rounds: int) -> list[Result]:
    """A batch of 64 images of 32x32 pixels: chosen, cropped, mirrored, normalised, on the CPU."""
    import itertools

    import torch

    from runners.data.images import ImageTensors
    from runners.experiment.recipe import ImagesSection
    from runners.machine.device import find_place
    from runners.task.batches import Batches

    source = torch.Generator().manual_seed(0)
    shape = (50_000, 3, 32, 32)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=source)
    data = ImageTensors(images, torch.randint(10, shape[:1], generator=source))

    def batches(augment: ImagesSection) -> Callable[[], object]:
        normalise = ((0.5,) * 3, (0.25,) * 3)
        half, cpu = torch.arange(25_000), find_place("cpu")
        made = Batches(data, half, normalise, cpu, name="train", seed=0, batch=64, augment=augment)
        steps = itertools.cycle(range(len(made)))
        return lambda: made.at(0, next(steps))

    return interleaved(
        {
            "as they are": batches(ImagesSection()),
            "crop, flip": batches(ImagesSection(crop=4, flip=True)),
            "crop, flip, cutout": batches(ImagesSection(crop=4, flip=True, cutout=16)),
        },
        20 * rounds,
        {"crop, flip": 0.005},
    )


BENCHMARKS = (
    Benchmark("start", "Start-up, whole process", start_up),
    Benchmark("lower", "From genotype to module: DARTS_V2 (36, 20, auxiliary)", lowering_time),
    Benchmark("spaces", "Computing with spaces, one core", spaces),
    Benchmark("look-up", "A benchmark's store: 423,624 architectures, 72 columns", look_up),
    Benchmark("loader", "A batch of 64 images, 32x32, on the CPU", loader),
    Benchmark("build", "From space to module: DARTS supernet (16, 8)", supernets.build),
    Benchmark("darts", "Supernet, DARTS (16, 8)", supernets.darts),
    Benchmark("darts-8", "Supernet, DARTS (8, 5)", supernets.small_darts),
    Benchmark("darts-2nd", "Second order, DARTS (16, 8): architecture step", supernets.second),
    Benchmark("nasbench201", "Supernet, NAS-Bench-201 (16, 5)", supernets.nasbench201),
    Benchmark("pc-darts", "Supernet, PC-DARTS K=4 (16, 8)", supernets.partial),
    Benchmark("s2", "Supernet, S2 (16, 8)", supernets.two_ops),
    Benchmark("rnn", "Recurrent supernet, hidden 300, batch 64, bptt 35", words.recurrent),
    Benchmark("peak", "Resident memory that one step adds, DARTS (16, 8)", supernets.peak),
    Benchmark("gpu", "Supernets on a GPU, batch 64", gpu.supernets, gpu.missing),
    Benchmark("processes", "A search in two processes, DARTS (16, 8)", processes.searches),
    Benchmark("decode", "Images of an ImageNet folder, 224x224", processes.decoding),
    Benchmark("train", "A training step, DARTS_V2 (36, 20, auxiliary), 32", networks.training),
    Benchmark(
        "batch-1",
        "Inference, DARTS_V2 (36, 20), batch 1",
        networks.inference_one,
        networks.no_runtime,
    ),
    Benchmark(
        "batch-32",
        "Inference, DARTS_V2 (36, 20), batch 32",
        networks.inference_many,
        networks.no_runtime,
    ),
)
