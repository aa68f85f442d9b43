"""Pictures of two garments: what they show is what their class says, and they come again as they were."""

from __future__ import annotations

import numpy as np
import pytest
from evidence import pairs


def test_a_step_comes_again_and_another_does_not():
    pixels, labels = pairs.batch(3, 7, 16)
    again, same = pairs.batch(3, 7, 16)
    assert (pixels.shape, str(pixels.dtype)) == ((16, 3, pairs.SIDE, pairs.SIDE), "torch.uint8")
    assert pixels.equal(again)
    assert labels.equal(same)
    for other in (pairs.batch(3, 8, 16), pairs.batch(4, 7, 16)):
        assert not pixels.equal(other[0])
        assert not labels.equal(other[1])


def test_every_pair_is_about_as_frequent_as_any_other():
    _, labels = pairs.batch(0, 0, 4_000)
    counts = np.bincount(labels.numpy(), minlength=pairs.CLASSES)
    assert counts.min() > 10  # 40, give or take more than four standard deviations
    assert counts.max() < 80


def test_a_picture_shows_the_pair_of_its_class(monkeypatch):
    """Of garments as bright as their kinds say the left one tells the class, and so does the right one."""
    kinds = np.arange(pairs.KINDS)
    levels = pairs.torch.ones(pairs.KINDS, 1, 28, 28) * pairs.torch.from_numpy(kinds / 10 + 0.1)[:, None, None, None]
    plain = pairs.Garments(levels.float(), kinds)
    monkeypatch.setattr(pairs, "wardrobe", lambda: (plain, plain, plain))
    monkeypatch.setattr(pairs, "PIECES", 0)
    # Brightness is drawn too, from 0.6 to 1: kinds 0 and 9 stay apart, (0.1 at most) against (0.6 at least).
    pixels, labels = pairs.batch(0, 0, 500)
    middle = slice(pairs.SIDE // 2 - 3, pairs.SIDE // 2 + 3)  # rows that every garment covers
    left, right = (
        pixels[:, 0, middle, columns].numpy().reshape(500, -1).max(1) > 100 for columns in (slice(6, 10), slice(22, 26))
    )
    first, second = np.divmod(labels.numpy(), pairs.KINDS)
    for shown, kind in ((left, first), (right, second)):
        assert not shown[kind == 0].any()
        assert shown[kind == 9].all()


def test_garments_are_of_one_use_each():
    train, search, val = pairs.wardrobe()
    seen = {one.numpy().tobytes() for one in train.pixels}
    for other in (search, val):  # but for pictures that Fashion-MNIST itself has twice
        assert len(seen & {one.numpy().tobytes() for one in other.pixels[:500]}) <= 2
    assert len(train.kinds) > 10 * len(search.kinds) > 0


def test_the_garments_of_the_package_do_where_debian_s_are_not(monkeypatch, tmp_path):
    monkeypatch.setattr(pairs, "FILES", tmp_path / "none")
    found = pairs.wardrobe.__wrapped__()
    assert pairs.here() == pairs.PACKAGED == f"{7333 + 667} and 2000 garments of Fashion-MNIST"
    assert [len(part.kinds) for part in found] == [7333, 667, 2000]


@pytest.mark.skipif(not pairs.FILES.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_all_of_fashion_mnist_is_taken_where_it_is_installed():
    assert pairs.here() == pairs.ALL
    assert [len(part.kinds) for part in pairs.wardrobe()] == [55_000, 5_000, 10_000]


def test_fewer_validation_pictures_are_the_first_of_more():
    few, more = pairs.validation(1_500), pairs.validation(2_000)
    assert (few.pixels == more.pixels[:1_500]).all()
    assert (few.labels == more.labels[:1_500]).all()
    assert few.class_names[12] == "trouser, pullover"
