"""The kernels make what torch's own operators make, and say why where they cannot."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lowering import kernels
from lowering.kernels import (
    KernelChain,
    KernelUnit,
    SharedValue,
    SumsPlan,
    SumStep,
    build,
    mixed_sums,
)
from lowering.kernels import (
    pool as memory,
)
from tests.kernel_cells import EPS, Sum, candidates, convolution, make, plain, pool
from tests.strategies import examples

needs_kernels = pytest.mark.skipif(not kernels.available(), reason=kernels.reason())

NOR_CONV = KernelUnit(relu=True, product=True, eps=EPS)
AVERAGE = pool(maximum=False, eps=None)
HALVES = replace(NOR_CONV, window="factorized", kernel=(2, 2), stride=(2, 2))
DENSE = replace(convolution(3), window="dense")


def agree(case: Sum, *, recompute: bool = False, tolerance: float = 1e-9) -> None:
    """Sums, statistics and all gradients are those of plain torch, relative to their size."""
    expected, actual = plain(case), case.kernel(recompute=recompute)
    slope = torch.randn_like(expected[0])
    gradients = torch.autograd.grad(expected[0], case.leaves, slope)
    pairs = [
        *zip(actual, expected, strict=True),
        *zip(torch.autograd.grad(actual[0], case.leaves, slope), gradients, strict=True),
    ]
    for made, wanted in pairs:
        assert made.shape == wanted.shape
        assert (made - wanted).norm() <= tolerance * (wanted.norm() + 1e-3)


@needs_kernels
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
@pytest.mark.parametrize("channels", [4, 6, 8, 12, 16, 36])
def test_an_edge_of_darts_is_what_torch_makes(
    channels: int, size: tuple[int, int], stride: int
) -> None:
    agree(make(candidates(0, stride), [(3, channels, *size)], channels))


@needs_kernels
@pytest.mark.parametrize("recompute", [False, True])
def test_terms_share_values_of_several_sizes(recompute: bool) -> None:
    terms = (*candidates(0), *candidates(1, 2), *candidates(0))
    agree(make(terms, [(2, 16, 4, 4), (2, 16, 8, 8)], 16), recompute=recompute)


@needs_kernels
@pytest.mark.parametrize(
    ("units", "channels"),
    [
        ((), 5),
        ((KernelUnit(eps=1e-3),), 16),
        ((NOR_CONV,), 64),
        ((AVERAGE,), 16),
        ((NOR_CONV, AVERAGE, NOR_CONV), 8),
        ((KernelUnit(stride=(2, 2)),), 16),
        ((KernelUnit(relu=True, window="max", kernel=(2, 3), stride=(2, 1)), NOR_CONV), 16),
        ((replace(convolution(3), product=False), convolution(7)), 4),
        ((replace(convolution(3), eps=None), replace(convolution(5, 2), relu=False)), 16),
        ((HALVES,), 3),
        ((HALVES, convolution(3)), 16),
        ((convolution(3), replace(HALVES, relu=False)), 8),
        ((DENSE,), 5),
        ((DENSE, replace(DENSE, eps=None)), 64),
        ((replace(DENSE, stride=(2, 2)), AVERAGE), 8),
        ((replace(DENSE, kernel=(1, 1), padding=(0, 0), stride=(2, 2)),), 16),
        ((replace(DENSE, relu=False, kernel=(1, 3), padding=(0, 2), dilation=(1, 2)),), 4),
    ],
)
@pytest.mark.parametrize("recompute", [False, True])
def test_a_chain_is_what_torch_makes(
    units: tuple[KernelUnit, ...], channels: int, recompute: bool
) -> None:
    agree(make((KernelChain(0, units),), [(2, channels, 8, 8)], 16), recompute=recompute)


UNITS = st.builds(
    KernelUnit,
    relu=st.booleans(),
    window=st.sampled_from(["", "depthwise", "max", "avg", "dense"]),
    kernel=st.just((3, 3)),
    padding=st.just((1, 1)),
    product=st.booleans(),
    eps=st.sampled_from([None, EPS]),
)


@needs_kernels
@examples(30)
@given(
    chains=st.lists(st.lists(UNITS, max_size=3), min_size=1, max_size=4),
    channels=st.integers(1, 20),
    size=st.tuples(st.integers(1, 3), st.integers(3, 9), st.integers(3, 9)),
    recompute=st.booleans(),
)
def test_any_chains_are_what_torch_makes(
    chains: list[list[KernelUnit]], channels: int, size: tuple[int, int, int], recompute: bool
) -> None:
    terms = tuple(KernelChain(0, tuple(map(_whole, chain))) for chain in chains)
    agree(make(terms, [(size[0], channels, *size[1:])], channels), recompute=recompute)


CHAINS = [(), (convolution(3),), (NOR_CONV, AVERAGE), (AVERAGE,)]
IMAGE = (2, 16, 6, 6)


@needs_kernels
@examples(100)
@given(data=st.data(), share=st.booleans(), counts=st.lists(st.integers(1, 3), max_size=2))
def test_sums_in_a_row_are_what_torch_makes(
    data: st.DataObject, *, share: bool, counts: list[int]
) -> None:
    """Of one call to three, whatever each reads and whoever reads it, in any backward pass."""
    frozen = data.draw(st.sets(st.integers(0, 20), max_size=4))
    leaves: list[Tensor] = []

    def leaf(tensors: Sequence[Tensor]) -> None:
        for each in tensors:
            each.requires_grad_(len(leaves) not in frozen)
            leaves.append(each)

    def shared(value: Tensor) -> Tensor | SharedValue:
        return SharedValue(value) if value.requires_grad and share else value

    expected = list(make((KernelChain(0),), [IMAGE] * 2, 16).values)
    leaf(expected)
    actual = [shared(value) for value in expected]
    for count in (*counts, 2):
        steps, cases = list[SumStep](), list[Sum]()
        for _ in range(count):
            places = st.integers(0, len(expected) - 1)
            reads = data.draw(st.lists(places, min_size=1, max_size=3, unique=True))
            kinds = [data.draw(st.sampled_from(CHAINS)) for _ in reads]
            terms = tuple(KernelChain(at, units) for at, units in enumerate(kinds))
            cases.append(make(terms, [IMAGE] * len(reads), 16))
            leaf([cases[-1].coefficients, *cases[-1].weights])
            (step,) = cases[-1].plan.steps
            recompute = data.draw(st.booleans())
            steps.append(step._replace(sources=tuple(reads), recompute=recompute))
            read = tuple(expected[at] for at in reads)
            expected.append(plain(replace(cases[-1], values=read))[0])
        plan = SumsPlan(steps, len(actual), range(len(steps)))
        own = [case.coefficients for case in cases], [case.weights for case in cases]
        made = mixed_sums(plan, actual, *own, [()] * len(steps))[:-1]
        actual += [shared(value) for value in made]
    slopes = torch.randn(len(expected), *IMAGE, dtype=torch.float64)
    used = {len(expected) - 1, *data.draw(st.sets(st.integers(0, len(expected) - 1)))}
    losses = torch.zeros(2, dtype=torch.float64).unbind()
    for at in used:
        value = actual[at]
        pair = expected[at], value if isinstance(value, Tensor) else value.value
        losses = [loss + (slopes[at] * v).sum() for loss, v in zip(losses, pair, strict=True)]
    wanted = [each for each in leaves if each.requires_grad]
    for some in (wanted, wanted[-1:], wanted):
        grads = [
            torch.autograd.grad(loss, some, retain_graph=True, materialize_grads=True)
            for loss in losses
        ]
        for right, found in zip(*grads, strict=True):
            assert (right - found).norm() <= 1e-9 * (right.norm() + 1e-3)


def _whole(unit: KernelUnit) -> KernelUnit:
    if not unit.window:
        return replace(unit, kernel=(1, 1), padding=(0, 0))
    return replace(unit, product=True) if unit.window == "dense" else unit


@needs_kernels
def test_running_statistics_follow_those_of_the_batch_as_in_torch() -> None:
    terms = (
        KernelChain(0, (pool(maximum=True), replace(NOR_CONV, momentum=0.4))),
        *candidates(1),
    )
    case = make(terms, [(3, 16, 8, 8), (3, 16, 8, 8)], 16)
    _, mean, variance = case.kernel()
    running = [torch.rand_like(each) for _ in mean.split(16) for each in (mean[:16], variance[:16])]
    momenta = [unit.momentum for term in terms for unit in term.units if unit.eps is not None]
    count = 3 * 8 * 8
    batch = zip(mean.split(16), variance.split(16), strict=True)
    expected = [
        old.lerp(new, momentum)
        for (m, v), momentum, at in zip(batch, momenta, itertools.count(0, 2))
        for old, new in zip(running[at : at + 2], (m, v * count / (count - 1)), strict=True)
    ]
    case.kernel(running=running)
    assert len(momenta) == len(mean) // 16
    for made, wanted in zip(running, expected, strict=True):
        assert torch.allclose(made, wanted, rtol=1e-12, atol=0)


@needs_kernels
def test_weights_and_statistics_of_other_sizes_are_refused() -> None:
    case = make((KernelChain(0, (HALVES,)),), [(2, 16, 8, 8)], 16)
    first, second = case.weights
    with pytest.raises(TypeError, match="a weight is"):
        replace(case, weights=(first[:3], second)).kernel()
    with pytest.raises(TypeError, match="the weights are not those"):
        mixed_sums(case.plan, case.values, [case.coefficients], [(first[:3], second)], [()])
    with pytest.raises(TypeError, match="1 terms are given 2 coefficients"):
        mixed_sums(case.plan, case.values, [torch.ones(2)], [case.weights], [()])
    running = [torch.zeros(16, dtype=torch.float64), torch.ones(15, dtype=torch.float64)]
    with pytest.raises(TypeError, match="running statistics"):
        case.kernel(running=running)


@needs_kernels
@pytest.mark.parametrize("limit", [{"OMP_THREAD_LIMIT": "1"}, {"OMP_DYNAMIC": "true"}])
def test_fewer_threads_than_torch_has_do_all_images(limit: dict[str, str]) -> None:
    code = (
        "import torch; torch.set_num_threads(3)\n"
        "from tests.test_kernels import agree, candidates, make\n"
        "agree(make(candidates(0), [(4, 16, 8, 8)], 16))"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | limit, check=True)


@needs_kernels
def test_memory_that_steps_do_not_ask_for_is_freed() -> None:
    kernels.release()
    sizes = [make(candidates(0), [(images, 16, 16, 16)], 16) for images in (6, 8)]
    idle = [memory.POOL.idle() for case in sizes if _made(case, recompute=False)]
    for _ in range(3):
        _made(sizes[1], recompute=False)
    assert memory.POOL.idle() == idle[1] > idle[0] > 0  # used again
    for _ in range(1500):
        _made(sizes[1], recompute=False)
    assert memory.POOL.idle() == idle[1] - idle[0]
    kernels.release()
    assert memory.POOL.idle() == memory.POOL.blocks == 0


def test_memory_is_lent_again_when_no_view_of_it_is_left() -> None:
    memory.POOL.release()
    image = memory.lend((2, 64, 32, 32), torch.float32)
    assert image.is_contiguous(memory_format=torch.channels_last)
    place, view = image.data_ptr(), image[1:].detach()
    del image
    other = memory.lend((2, 64, 32, 32), torch.float32)
    assert other.data_ptr() != place
    del view
    again = memory.lend((2 * 64 * 32 * 32,), torch.float32)
    assert again.data_ptr() == place


def test_threads_are_never_lent_the_same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, take = memory.Pool(), memory._Blocks.take

    def slowly(blocks: memory._Blocks, size: int) -> object:
        block = take(blocks, size)
        time.sleep(0.05)
        return block

    monkeypatch.setattr(memory._Blocks, "take", slowly)
    with ThreadPoolExecutor(2) as threads:
        lent = list(threads.map(lambda _: pool.lend((1 << 15,), torch.float32), range(2)))
    assert lent[0].data_ptr() != lent[1].data_ptr()


@needs_kernels
@pytest.mark.slow
def test_without_openmp_one_thread_does_all_images(tmp_path: Path) -> None:
    code = (
        "import torch; torch.set_num_threads(3)\n"
        "from lowering.kernels import build\n"
        "build._FLAGS = ((),)\n"
        "from tests.test_kernels import agree, candidates, make\n"
        "agree(make(candidates(0), [(4, 16, 8, 8)], 16))"
    )
    env = os.environ | {"TORCH_EXTENSIONS_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


@needs_kernels
def test_a_batch_of_one_and_coefficients_of_zero_are_no_special_case() -> None:
    case = make(candidates(0), [(1, 16, 8, 8)], 16)
    with torch.no_grad():
        case.coefficients[::2] = 0
    agree(case)


@needs_kernels
def test_float32_is_as_exact_as_float32_can_be() -> None:
    agree(make(candidates(0), [(4, 16, 16, 16)], 16, torch.float32), tolerance=1e-5)


@needs_kernels
def test_a_mean_far_from_zero_costs_no_digits_of_the_variance() -> None:
    case = make((KernelChain(0, (KernelUnit(eps=EPS),)),), [(4, 16, 16, 16)], 16, torch.float32)
    with torch.no_grad():
        case.values[0].add_(1000.0)
    expected = case.values[0].double().var((0, 2, 3), unbiased=False)
    assert torch.allclose(case.kernel()[2].double(), expected, rtol=1e-5, atol=0)


@needs_kernels
def test_recomputing_changes_no_bit() -> None:
    case = make(candidates(0), [(3, 16, 8, 8)], 16, torch.float32)
    made = [_made(case, recompute=recompute) for recompute in (False, True)]
    assert all(torch.equal(kept, again) for kept, again in zip(*made, strict=True))


def _made(case: Sum, *, recompute: bool) -> list[Tensor]:
    made = case.kernel(recompute=recompute)
    return [*made, *torch.autograd.grad(made[0].square().sum(), case.leaves)]


def _saved(case: Sum, *, recompute: bool = False) -> list[Tensor]:
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        case.kernel(recompute=recompute)
    return saved


@needs_kernels
@pytest.mark.parametrize("recompute", [False, True])
def test_backward_keeps_all_products_but_that_of_one_small_window_or_nothing(
    recompute: bool,
) -> None:
    case = make(candidates(0), [(2, 16, 8, 8)], 16)
    saved = _saved(case, recompute=recompute)
    image = case.values[0].numel()
    large = [tensor.numel() for tensor in saved if tensor.numel() >= image]
    assert sum(large) == image * (1 + (0 if recompute else 5))


@needs_kernels
def test_nan_reaches_the_sum_and_the_gradients() -> None:
    case = make(
        (KernelChain(0, (AVERAGE,)), KernelChain(0, (pool(maximum=True),))), [(1, 16, 4, 4)], 16
    )
    with torch.no_grad():
        case.values[0][0, 3, 2, 2] = float("nan")
    for recompute in (False, True):
        out = case.kernel(recompute=recompute)[0]
        assert torch.equal(out.isnan(), plain(case)[0].isnan())
        assert torch.autograd.grad(out.sum(), case.coefficients)[0].isnan().any()


@needs_kernels
def test_the_first_maximum_takes_the_gradient() -> None:
    case = make((KernelChain(0, (pool(maximum=True, eps=None),)),), [(1, 16, 6, 6)], 16)
    with torch.no_grad():
        case.values[0].round_().clamp_(-1, 1)
    agree(case)


@needs_kernels
def test_a_weight_that_does_not_fit_is_refused() -> None:
    case = make((KernelChain(0, (NOR_CONV,)),), [(1, 16, 4, 4)], 16)
    with pytest.raises(TypeError, match=r"a weight is \(16, 8, 1, 1\)"):
        replace(case, weights=(case.weights[0][:, :8],)).kernel()
    with pytest.raises(TypeError, match="given 0"):
        replace(case, weights=()).kernel()


@needs_kernels
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_has_one_openmp_runtime() -> None:
    """In a process of its own: what other tests import may bring theirs."""
    program = (
        "from lowering.kernels import KernelChain; from tests.kernel_cells import make; "
        "make((KernelChain(0),), [(1, 16, 4, 4)], 16).kernel(); "
        "print(open('/proc/self/maps').read())"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    names = ("libgomp", "libomp", "libiomp")
    lines = [line for line in done.stdout.splitlines() if any(name in line for name in names)]
    assert len({line.split()[-1] for line in lines}) == 1


def test_without_a_compiler_there_is_a_reason_and_no_exception(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    build._load.cache_clear()
    try:
        assert not kernels.available()
        assert "no-compiler" in kernels.reason()
        assert len(kernels.reason().splitlines()) == 1
        assert {path.name for path in (tmp_path / "nasir").glob("*")} <= {"kernels.lock"}
    finally:
        build._load.cache_clear()


def test_a_variable_switches_the_kernels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernels.SWITCH, "0")
    assert kernels.reason() == "switched off by NASIR_KERNELS=0"


@needs_kernels
@pytest.mark.slow
def test_processes_that_build_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = "from lowering import kernels; print(kernels.reason())"
    environment = {"PATH": "/usr/bin:/bin", "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["", ""]
    assert len(list((tmp_path / "nasir").glob("*.so"))) == 1


@needs_kernels
def test_a_window_whose_stride_leaves_rows_out() -> None:
    for window in (pool(maximum=True), AVERAGE):
        unit = replace(window, kernel=(1, 3), stride=(2, 1), padding=(0, 0))
        agree(make((KernelChain(0, (unit,)),), [(2, 4, 6, 9)], 4))
