"""Batches of images: order, draws, augmentation and shares of processes."""

import pytest
import torch
from torch import Tensor

from runners.data.images import ImageTensors
from runners.experiment.recipe import ImagesSection
from runners.machine.device import Place, find_place
from runners.task.batches import Batches, Order

ALL = ImagesSection(crop=2, flip=True, cutout=4)
CPU = find_place("cpu")
SAME = ((0.0,) * 3, (1 / 255,) * 3)
"""What leaves bytes as they are."""


def images(count: int = 20, side: int = 8) -> ImageTensors:
    """Images whose labels are their numbers; no pixel is 0."""
    source = torch.Generator().manual_seed(5)
    images = torch.randint(1, 256, (count, 3, side, side), dtype=torch.uint8, generator=source)
    return ImageTensors(images, torch.arange(count))


def batches(
    name: str,
    seed: int,
    batch: int,
    order: Order = "shuffled",
    augment: ImagesSection | None = None,
    *,
    place: Place | None = None,
    indices: Tensor | None = None,
) -> Batches:
    """Batches of `images` as bytes."""
    return Batches(
        images(),
        torch.arange(20) if indices is None else indices,
        SAME,
        place or CPU,
        name=name,
        seed=seed,
        batch=batch,
        order=order,
        augment=augment or ImagesSection(),
    )


def labels(of: Batches, epoch: int) -> list[int]:
    """The labels of an epoch, in order."""
    return torch.cat([of.at(epoch, step)[1] for step in range(len(of))]).tolist()


def test_an_epoch_is_a_shuffle_of_the_chosen_images_and_the_next_another() -> None:
    chosen = torch.arange(3, 14)
    made = batches("train", 0, 4, indices=chosen)
    assert (len(made), made.count) == (3, 11)
    first, second = labels(made, 0), labels(made, 1)
    assert sorted(first) == sorted(second) == chosen.tolist()
    assert len({tuple(first), tuple(second), tuple(chosen.tolist())}) == 3


@pytest.mark.parametrize("order", ["file", "shuffled"])
@pytest.mark.parametrize("step", [-1, 3])
def test_a_step_outside_the_epoch_is_a_mistake(order: str, step: int) -> None:
    made = batches("train", 0, 8, order)  # pyright: ignore[reportArgumentType]
    with pytest.raises(IndexError, match=f"step {step} of an epoch of 3"):
        made.at(0, step)


def test_fresh_batches_are_full_and_each_is_drawn_from_all() -> None:
    made = batches("valid", 0, 8, "fresh")
    seen = [made.at(0, step)[1].tolist() for step in range(30)]
    assert all(len(set(batch)) == 8 for batch in seen)
    assert {label for batch in seen for label in batch} == set(range(20))
    # Three batches of an epoch's shuffle would have no image twice.
    assert len({label for batch in seen[:2] for label in batch}) < 16


@pytest.mark.parametrize("order", ["file", "shuffled", "fresh"])
def test_a_batch_is_the_same_whenever_it_is_asked_for(order: str) -> None:
    once, again = (
        batches("train", 7, 8, order, ALL)  # pyright: ignore[reportArgumentType]
        for _ in range(2)
    )
    early = once.at(1, 1)
    for epoch, step in ((0, 0), (2, 2), (1, 0)):
        once.at(epoch, step)
    for later in (once.at(1, 1), again.at(1, 1)):
        assert torch.equal(early[0], later[0])
        assert torch.equal(early[1], later[1])


def test_seeds_names_epochs_and_steps_have_draws_of_their_own() -> None:
    once = batches("train", 0, 20, "fresh", ALL)
    asked = [
        once.at(0, 0),
        batches("train", 1, 20, "fresh", ALL).at(0, 0),
        batches("valid", 0, 20, "fresh", ALL).at(0, 0),
        once.at(1, 0),
        once.at(0, 1),
    ]
    assert len({tuple(label.tolist()) for _, label in asked}) == 5
    in_order = [image[label.argsort()] for image, label in asked]
    for i, image in enumerate(in_order):
        assert not any(torch.equal(image, other) for other in in_order[i + 1 :])


def test_images_are_normalised_by_channel() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    source = images()
    made = Batches(
        source, torch.arange(20), (mean, std), CPU, name="t", seed=0, batch=20, order="file"
    )
    image, _ = made.at(0, 0)
    expected = (source.images.double() / 255).movedim(1, 3)
    expected = ((expected - torch.tensor(mean)) / torch.tensor(std)).movedim(3, 1)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    torch.testing.assert_close(image, expected.float())


def augmented(augment: ImagesSection, count: int = 400) -> tuple[Tensor, Tensor]:
    """Bytes before and after, (N, 3, 8, 8)."""
    source = images(count)
    chosen = torch.arange(count)
    made = Batches(
        source, chosen, SAME, CPU, name="t", seed=0, batch=count, order="file", augment=augment
    )
    return source.images, made.at(0, 0)[0].round().to(torch.uint8)


def test_a_flip_mirrors_half_of_the_images_left_to_right() -> None:
    before, after = augmented(ImagesSection(flip=True))
    same = (before == after).flatten(1).all(1)
    mirrored = (before.flip(3) == after).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    assert 150 < int(mirrored.sum()) < 250


def test_a_crop_moves_each_image_and_fills_with_black() -> None:
    before, after = augmented(ImagesSection(crop=2))
    found = set[tuple[int, int]]()
    for image, moved in zip(before, after, strict=True):
        padded = torch.zeros(3, 12, 12, dtype=torch.uint8)
        padded[:, 2:10, 2:10] = image
        fits = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.equal(padded[:, down : down + 8, right : right + 8], moved)
        ]
        assert len(fits) == 1
        found.add(fits[0])
    assert len(found) == 25, "every shift occurs"


def test_cutout_blanks_a_square_that_may_hang_over_the_border() -> None:
    before, after = augmented(ImagesSection(cutout=4))
    middles = set[tuple[int, int]]()
    for image, cut in zip(before, after, strict=True):
        hole = (cut == 0).all(0)
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns[None, :])
        assert torch.equal(image * ~hole, cut)
        assert 2 <= int(rows.sum()) <= 4
        assert 2 <= int(columns.sum()) <= 4
        middles.add((int(rows.nonzero().sum()), int(columns.nonzero().sum())))
    assert len(middles) > 40, "squares lie everywhere"
