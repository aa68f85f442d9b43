"""Quantities as people write them."""

from __future__ import annotations

import math

import pytest

from resnas_deploy.units import MILLISECONDS, duration, parse_quantity, several

UNITS = {"G": 1.0, "M": 1e-3, "": 1e-9, "%": 0.01}


@pytest.mark.parametrize(
    ("text", "value"),
    [("2.9G", 2.9), (" 1500 M ", 1.5), ("2000000", 0.002), ("3e3M", 3), ("65%", 0.65), ("0G", 0), ("007M", 0.007)],
)
def test_a_quantity_is_in_the_unit_of_one(text, value):
    assert parse_quantity(text, UNITS) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "G", "-1G", "+1G", "1T", "1g", "nanG", "infG", "1 2G", ".5G", "5.G", "1_0G", "\u0661G", "1G G", "%"]
)
def test_what_is_no_quantity(text):
    assert parse_quantity(text, UNITS) is None


def test_a_unit_may_have_to_be_there():
    assert parse_quantity("8", MILLISECONDS) is None
    assert [parse_quantity(text, MILLISECONDS) for text in ("8ms", "0.008s", "8000us")] == pytest.approx([8, 8, 8])


def test_too_large_a_number_is_infinite():
    assert parse_quantity("1e999G", UNITS) == math.inf
    assert parse_quantity("9" * 1000, UNITS) is None


def test_times():
    assert [duration(value) for value in (59.6, 120, 5400, 9000, 400_000)] == [
        "60 s", "2.0 minutes", "90.0 minutes", "2.5 hours", "4.6 days",
    ]  # fmt: skip


def test_one_and_several():
    assert [several(count, "image") for count in (0, 1, 2, 10_000)] == [
        "0 images",
        "1 image",
        "2 images",
        "10,000 images",
    ]
