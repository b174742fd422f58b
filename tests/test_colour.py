"""Random colours, against Pillow's and Python's own."""

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from runners.data.batches import Augment, Jitter, Tints, tinted
from runners.machine.device import find_place

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
CPU = find_place("cpu")
SAME = ((0.0,) * 3, (1 / 255,) * 3)


def changed(place: int, factor: float) -> np.ndarray:
    """The pixels after one change alone, (H, W, 3)."""
    factors = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    factors[place] = factor
    images = torch.as_tensor(PIXELS).movedim(2, 0)[None].float()
    return tinted(images, Tints(factors, (place,)))[0].movedim(0, 2).numpy()


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
@pytest.mark.parametrize(
    ("place", "enhance"),
    list(enumerate((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color))),
    ids=("brightness", "contrast", "saturation"),
)
def test_a_change_is_pillows_up_to_its_rounding(place: int, enhance: Any, factor: float) -> None:
    expected = np.asarray(enhance(Image.fromarray(PIXELS)).enhance(factor)).astype(float)
    assert np.abs(changed(place, factor) - expected).max() <= 1.5


@pytest.mark.parametrize("turn", [-0.2, 0.0, 0.05, 0.2, 0.5])
def test_a_turned_hue_keeps_saturation_and_value(turn: float) -> None:
    found = changed(3, turn).reshape(-1, 3)
    for pixel, other in zip(PIXELS.reshape(-1, 3) / 255.0, found, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value)
        assert other / 255 == pytest.approx(expected, abs=1e-5)


def test_grey_has_no_hue_to_turn() -> None:
    grey = torch.arange(256.0).expand(1, 3, 1, 256)
    tints = Tints(torch.tensor([[1.0], [1.0], [1.0], [0.3]]), (3,))
    assert torch.equal(tinted(grey, tints), grey)


def test_factors_are_drawn_within_their_ends_for_each_image() -> None:
    source = torch.Generator().manual_seed(0)
    tints = Jitter(0.4, 2.0, 0.1, 0.2).draw(4000, source)
    least, greatest = tints.factors.amin(1).tolist(), tints.factors.amax(1).tolist()
    assert least == pytest.approx([0.6, 0.0, 0.9, -0.2], abs=0.01)
    assert greatest == pytest.approx([1.4, 3.0, 1.1, 0.2], abs=0.01)
    assert sorted(tints.order) == [0, 1, 2, 3]


def test_orders_differ_between_batches() -> None:
    draws = [Jitter().draw(1, torch.Generator().manual_seed(seed)).order for seed in range(40)]
    assert len(set(draws)) > 10


def test_colours_leave_the_other_draws_as_they_are() -> None:
    plain, with_colours = Augment(crop=2, flip=True), Augment(crop=2, flip=True, jitter=Jitter())
    first, second = (
        augment.draw((5, 8, 8), torch.Generator().manual_seed(1))
        for augment in (plain, with_colours)
    )
    assert first.shift is not None
    assert second.shift is not None
    assert torch.equal(first.shift, second.shift)
