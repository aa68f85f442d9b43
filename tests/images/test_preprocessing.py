"""Preprocessing: the record of it survives JSON, and the arithmetic is that of resizing and cropping by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.images import COFFEE, SMALL

from resnas_deploy.errors import BadInput
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import Preprocessing, normalised, preprocess


def _batch(paths: Iterable[Path], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    return np.stack([preprocess(load_image(path), preprocessing) for path in paths])


# --- the record ---


def test_the_record_of_an_image_size_keeps_the_ratio_of_imagenet() -> None:
    assert Preprocessing.for_image_size(224).resize == 256
    assert Preprocessing.for_image_size(280).resize == 320
    assert Preprocessing.for_image_size(392).resize == 448
    assert Preprocessing.for_image_size(160).resize == 183
    record = Preprocessing.for_image_size(224)
    assert (record.mean, record.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert record.interpolation == "bicubic"


@pytest.mark.parametrize(
    "record",
    [
        Preprocessing.for_image_size(224),
        Preprocessing(96, 96, (0.5, 0.5, 0.5), (1, 1, 1), "bilinear"),
        Preprocessing(1, 1, (0, -1, 255.0)),
    ],
)
def test_the_record_survives_json(record: Preprocessing) -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 0),
        ("image_size", -224),
        ("image_size", 224.0),
        ("image_size", True),
        ("image_size", "224"),
        ("image_size", None),
        ("image_size", 10**9),
        ("image_size", [224, 224]),
        ("resize", 223),
        ("resize", 10**9),
        ("resize", 256.5),
        ("mean", 0.5),
        ("mean", [0.5, 0.5]),
        ("mean", [0.5, 0.5, "0.5"]),
        ("mean", [0.5, 0.5, float("nan")]),
        ("mean", [0.5, 0.5, True]),
        ("mean", [10**400, 0, 0]),
        ("std", [0.2, 0.2, 0]),
        ("std", [0.2, 0.2, -0.2]),
        ("std", [0.2, 0.2, float("inf")]),
        ("std", {}),
        ("interpolation", "cubic"),
        ("interpolation", None),
        ("interpolation", ["bicubic"]),
    ],
)
def test_a_bad_field_is_refused_by_name(field: str, value: object) -> None:
    data = Preprocessing.for_image_size(224).to_json() | {field: value}
    with pytest.raises(BadInput, match=rf"^network\.json(: |\.){field}(\[\d\])? must be") as caught:
        Preprocessing.from_json(data, source="network.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_missing_and_unknown_fields_and_other_values_are_refused() -> None:
    data = Preprocessing.for_image_size(224).to_json()
    for field in data:
        with pytest.raises(BadInput, match=f"preprocessing.{field} must be there"):
            Preprocessing.from_json({name: value for name, value in data.items() if name != field})
    with pytest.raises(BadInput, match="unknown field 'crop'"):
        Preprocessing.from_json(data | {"crop": 1})
    others: tuple[object, ...] = ([], "bicubic", None, 3)
    for other in others:
        with pytest.raises(BadInput, match="must be a JSON object"):
            Preprocessing.from_json(other)


# --- resizing, cropping and normalising ---


def _normalised(crop: Image.Image) -> npt.NDArray[np.float64]:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scaled = np.asarray(crop).astype(np.float64) / 255
    normalised: npt.NDArray[np.float64] = (scaled - mean) / std
    return normalised.transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("size", "resized", "box"),
    [
        ((400, 267), (383, 256), (80, 16, 304, 240)),  # 383.52 is cut to 383, and 79.5 rounded to 80
        ((267, 400), (256, 383), (16, 80, 240, 304)),
        ((400, 266), (384, 256), (80, 16, 304, 240)),
        ((320, 212), (386, 256), (81, 16, 305, 240)),
        ((385, 256), (385, 256), (80, 16, 304, 240)),  # 80.5 is rounded to the even 80
        ((387, 256), (387, 256), (82, 16, 306, 240)),
        ((256, 256), (256, 256), (16, 16, 240, 240)),
        ((50, 50), (256, 256), (16, 16, 240, 240)),
        ((30, 100), (256, 853), (16, 314, 240, 538)),
    ],
)
def test_equals_resizing_and_cropping_by_hand(
    size: tuple[int, int], resized: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    image = load_image(COFFEE).resize(size)
    found = preprocess(image, Preprocessing.for_image_size(224))
    assert found.dtype == np.float32
    assert found.shape == (3, 224, 224)
    assert found.flags.c_contiguous
    expected = _normalised(image.resize(resized, Image.Resampling.BICUBIC).crop(box))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)  # float32 against float64


def test_bilinear_and_other_scales() -> None:
    image = load_image(COFFEE)
    found = preprocess(image, Preprocessing(96, 96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear"))
    crop = image.resize((143, 96), Image.Resampling.BILINEAR).crop((24, 0, 120, 96))
    expected = (np.asarray(crop) / 127.5 - 1).transpose(2, 0, 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_channels_are_red_green_blue() -> None:
    found = preprocess(Image.new("RGB", (60, 40), (255, 0, 51)), SMALL)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    for channel, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(channel, value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "CMYK"])
def test_preprocess_refuses_other_modes(mode: str) -> None:
    with pytest.raises(BadInput, match="must be of mode RGB"):
        preprocess(Image.new(mode, (40, 40)), SMALL)


@pytest.mark.parametrize(
    ("convert", "tolerance"),
    [
        (lambda image: image.convert("RGBA"), 0.0),
        (lambda image: image.convert("CMYK").convert("RGB"), 0.03),  # under 2 levels of 8 bits
        (lambda image: image.quantize(256), 0.1),  # about 6 levels
    ],
)
def test_variants_give_nearly_the_array_of_the_original(
    tmp_path: Path, convert: Callable[[Image.Image], Image.Image], tolerance: float
) -> None:
    original = load_image(COFFEE)
    convert(original).save(tmp_path / "image.png")
    record = Preprocessing.for_image_size(224)
    found, expected = _batch([tmp_path / "image.png", COFFEE], record)
    assert np.abs(found - expected).mean() <= tolerance


@pytest.mark.parametrize("mean", [(0.485, 0.456, 0.406), (0, 0.5, 1)])
def test_normalising_channel_by_channel_changes_no_bit(mean: tuple[float, float, float]) -> None:
    """Of each of the 256 levels, in the order of sums that accuracies were measured with."""
    preprocessing = Preprocessing(image_size=16, resize=16, mean=mean)
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = np.concatenate([ramp, ramp[:, ::-1], 255 - ramp], axis=3).repeat(2, axis=0)
    means, stds = (np.array(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std))
    wanted = ((images.astype(np.float32) / np.float32(255) - means) / stds).transpose(0, 3, 1, 2)
    found = normalised(images, preprocessing)
    assert (found.shape, found.dtype, found.flags["C_CONTIGUOUS"]) == ((2, 3, 16, 16), np.float32, True)
    assert np.array_equal(found.view(np.uint32), np.ascontiguousarray(wanted).view(np.uint32))
