"""RandAugment: every operation to the byte, and the draws and the whole scheme by their distributions.

`golden/randaugment.npz` has a picture and what the reference's operations make of it, as `NAME/MAGNITUDE/plus|minus`.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from support.places import GOLDEN

from resnas_deploy.training.input.randaugment import OPERATIONS, Drawn, drawn_operations, operated, randaugmented

PAPER = (9.0, 0.5)  # the magnitude, and its deviation
SIGMAS = 4.5  # by which a count may be off: 1 in 150,000, and the seeds are fixed


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "randaugment.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    return [list(drawn_operations(*PAPER, rng)) for _ in range(10_000)]


def name_of(reference):
    return reference.removesuffix("Increasing").removesuffix("Rel")


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_equal_the_golden_pictures_to_the_byte(golden, name):
    picture = Image.fromarray(golden["image"])
    compared = 0
    for key, expected in golden.items():
        reference, _, at = key.partition("/")
        if key == "image" or name_of(reference) != name:
            continue
        magnitude, sign = at.split("/")
        found = operated(picture, Drawn(name, float(magnitude), sign == "minus"))
        assert np.array_equal(np.asarray(found), expected), key
        compared += 1
    assert compared in (2, 4)  # two magnitudes, in one direction or two


def test_posterising_at_the_greatest_magnitude_is_black(golden):
    picture = Image.fromarray(golden["image"])
    assert not np.asarray(operated(picture, Drawn("Posterize", 10.0, False))).any()
    assert len(np.unique(np.asarray(operated(picture, Drawn("Posterize", 9.99, False))))) == 2  # one bit


def even(counts, total, kinds):
    share = 1 / kinds
    bound = SIGMAS * np.sqrt(total * share * (1 - share))
    return len(counts) == kinds and all(abs(count - total * share) < bound for count in counts.values())


def test_half_of_two_operations_are_applied_each_for_itself(draws):
    numbers = Counter(map(len, draws))
    for number, share in ((0, 1 / 4), (1, 1 / 2), (2, 1 / 4)):
        assert abs(numbers[number] - share * len(draws)) < SIGMAS * np.sqrt(len(draws) * share * (1 - share))


def test_operations_and_directions_are_drawn_evenly_and_with_replacement(draws):
    drawn = [one for image in draws for one in image]
    assert even(Counter(one.name for one in drawn), len(drawn), len(OPERATIONS))
    assert even(Counter(one.negative for one in drawn), len(drawn), 2)
    pairs = [image for image in draws if len(image) == 2]
    same = sum(first.name == second.name for first, second in pairs)
    share = 1 / len(OPERATIONS)
    assert abs(same - len(pairs) * share) < SIGMAS * np.sqrt(len(pairs) * share * (1 - share))


def test_magnitudes_are_normal_and_clipped(draws):
    magnitudes = np.array([one.magnitude for image in draws for one in image])
    count = len(magnitudes)
    assert 0 <= magnitudes.min() < 7.5
    assert magnitudes.max() == 10
    assert abs(np.median(magnitudes) - 9) < SIGMAS * 0.5 * np.sqrt(np.pi / 2 / count)
    for bound, share in ((8.5, 0.158655), (9.5, 0.841345)):  # one deviation to either side
        assert abs((magnitudes < bound).mean() - share) < SIGMAS * np.sqrt(share * (1 - share) / count)
    share = 0.02275  # of a normal distribution, beyond two deviations
    assert abs((magnitudes == 10).mean() - share) < SIGMAS * np.sqrt(share * (1 - share) / count)


def test_without_a_deviation_every_magnitude_is_the_same():
    rng = np.random.default_rng(0)
    assert {one.magnitude for _ in range(100) for one in drawn_operations(3.0, 0.0, rng)} == {3.0}


@pytest.mark.parametrize("times", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_the_whole_scheme_changes_as_much_as_the_reference(golden, times):
    """Hold the mean absolute changes of many draws on the golden picture to the reference's, which drew 20,000.

    Both figures have a sampling error. The share `q` of draws below a quantile is off by sqrt(q (1 - q) / n), so that
    the reference's quantile must lie between ours at q - e and q + e, `e` being 4.5 deviations of the difference; the
    reference's figures were rounded to a digit behind the point.
    """
    picture, rng = golden["image"], np.random.default_rng(0)
    image, plain = Image.fromarray(picture), picture.astype(np.int16)
    changes = np.array([np.abs(np.asarray(randaugmented(image, *PAPER, rng)) - plain).mean() for _ in range(times)])
    both = 1 / times + 1 / 20_000
    assert abs((changes == 0).mean() - 0.281) < SIGMAS * np.sqrt(0.281 * 0.719 * both) + 0.0005
    assert abs(changes.mean() - 46.4) < SIGMAS * changes.std() * np.sqrt(both) + 0.05
    for q, expected in ((0.1, 0), (0.25, 0), (0.5, 53.5), (0.75, 75.4), (0.9, 93.3)):
        error = SIGMAS * np.sqrt(q * (1 - q) * both)
        least, most = np.quantile(changes, [q - error, q + error])
        assert least - 0.05 <= expected <= most + 0.05, q
