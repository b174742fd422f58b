"""Random colours, against Pillow's and Python's own."""

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from runners.experiment.recipe import ImagesSection
from runners.task.batches import Draws, jitter_colours, new_draws

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def tints(factors: torch.Tensor, *order: int) -> Draws:
    """Draws of these changes alone."""
    return Draws(None, None, None, None, factors, order)


def drawn(count: int, seed: int, images: ImagesSection | None = None) -> Draws:
    """The draws for so many images."""
    source = torch.Generator().manual_seed(seed)
    return new_draws(images or ImagesSection(jitter=True), (count, 8, 8), source)


def changed(place: int, factor: float) -> np.ndarray:
    """The pixels after one change alone, (H, W, 3)."""
    factors = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    factors[place] = factor
    images = torch.as_tensor(PIXELS).movedim(2, 0)[None].float()
    return jitter_colours(images, tints(factors, place))[0].movedim(0, 2).numpy()


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


def test_factors_are_drawn_within_their_ends_for_each_image() -> None:
    found = drawn(4000, 0)
    assert found.tints is not None
    least, greatest = found.tints.amin(1).tolist(), found.tints.amax(1).tolist()
    assert least == pytest.approx([0.6, 0.6, 0.6, -0.2], abs=0.01)
    assert greatest == pytest.approx([1.4, 1.4, 1.4, 0.2], abs=0.01)
    assert sorted(found.order) == [0, 1, 2, 3]


def test_colours_change_where_there_are_any_and_brightness_everywhere() -> None:
    one, changes = torch.rand(5, 1, 6, 6) * 255, drawn(5, 0)
    changed = jitter_colours(one, changes)
    assert changed.shape == one.shape
    assert not torch.equal(changed, one)
    torch.testing.assert_close(jitter_colours(one.repeat(1, 3, 1, 1), changes)[:, :1], changed)


def test_colours_leave_the_other_draws_as_they_are() -> None:
    first, second = (
        drawn(5, 1, ImagesSection(crop=2, flip=True, jitter=jitter)) for jitter in (False, True)
    )
    assert first.shift is not None
    assert second.shift is not None
    assert torch.equal(first.shift, second.shift)
