"""Lists of labels outside of their folder: text, a class a line, and ImageNet's development kit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from support.checks import refusal
from support.imagenet_like import wordnet_ids
from support.small_data import pixels

from resnas_deploy.data.class_match import classes_of
from resnas_deploy.data.label_match import labelled_for
from resnas_deploy.data.source import open_validation
from resnas_deploy.images.class_names import imagenet_class_names

NAMES = ("ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG", "ILSVRC2012_val_00000003.JPEG")


@pytest.fixture
def val(tmp_path):
    """Three of ImageNet's validation images, by their names."""
    folder = tmp_path / "val"
    folder.mkdir()
    for label, name in enumerate(NAMES):
        Image.fromarray(pixels(label, label)).save(folder / name, "JPEG")
    return folder


def write_kit(folder, numbers):
    """A development kit's two files, as its readme.txt has them: `synsets` of structures, numbers in an own order."""
    kit = folder / "data"
    kit.mkdir()
    ids = wordnet_ids()
    order = np.random.default_rng(0).permutation(1000)
    synsets = np.zeros((1000, 1), [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")])
    for number, place in enumerate(order, start=1):
        synsets[number - 1, 0] = (np.array([[float(number)]]), ids[place], "words", np.array([[0.0]]))
    savemat(kit / "meta.mat", {"synsets": synsets})
    path = kit / "ILSVRC2012_validation_ground_truth.txt"
    path.write_text("".join(f"{number}\n" for number in numbers))
    return path, [int(order[number - 1]) for number in numbers]


def numbers_of(val, labels):
    """The labels that an ImageNet network has for the images."""
    images = open_validation(str(val), labels)
    return labelled_for(images, classes_of(1000, None, imagenet_class_names()), "the network").labels.tolist()


def test_the_development_kits_numbers_are_read_by_its_meta_mat(val, tmp_path):
    path, wanted = write_kit(tmp_path, [490, 1, 1000])
    assert numbers_of(val, path) == wanted


def test_without_meta_mat_its_numbers_are_not_guessed(val, tmp_path):
    path, _ = write_kit(tmp_path, [3, 1, 2])
    (path.parent / "meta.mat").unlink()
    assert "has ImageNet's own numbers (ILSVRC2012_ID), which meta.mat beside it must tell, found none" in refusal(
        lambda: open_validation(str(val), path)
    )
    other = tmp_path / "truth.txt"  # which has another name, and the number that no index from 0 is
    other.write_text("3\n1\n1000\n")
    assert "which meta.mat beside it must tell" in refusal(lambda: open_validation(str(val), other))


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + bytes(200), "savemat"])
def test_another_meta_mat_is_one_line(val, tmp_path, content):
    path, _ = write_kit(tmp_path, [3, 1, 2])
    if content == "savemat":
        savemat(path.parent / "meta.mat", {"synsets": np.zeros(3)})
    else:
        (path.parent / "meta.mat").write_bytes(content)
    assert "meta.mat must be the development kit's, with an array synsets of ILSVRC2012_ID and WNID" in refusal(
        lambda: open_validation(str(val), path)
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LOC_val_solution.csv", "ImageId,PredictionString\n{0},{3} 1 2 3 4 \n{1},{4} 1 2 3 4\n{2},{5} 1 2 3 4 "),
        ("val.txt", "{0}.JPEG 0\n{1}.JPEG 999\n{2}.JPEG 65\n"),
        ("val.txt", "val/{0}.JPEG {3}\n\nval/{1}.JPEG {4}\nval/{2}.JPEG {5}\n"),
        ("labels.txt", "{3}\n{4}\n{5}\n"),
        ("names.txt", "{0}\ttench\n{1}\ttoilet tissue\n{2}\tsea snake\n"),
    ],
)
def test_lists_of_imagenet(val, tmp_path, name, text):
    ids = wordnet_ids()
    path = tmp_path / name
    path.write_text(text.format(*(name.removesuffix(".JPEG") for name in NAMES), ids[0], ids[999], ids[65]))
    folder = tmp_path if "val/" in text else val
    assert numbers_of(folder, path) == [0, 999, 65]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must have lines PATH CLASS, or a class for each image, found none"),
        ("1\n2\n", "must have a class for each image of"),
        ("{0} 1\n{1} 2\n{2} 3\n", "found that it numbers its lines, as ImageNet's ImageSets/CLS-LOC/val.txt does"),
        ("{0} cat\ndog\n", "line 2 must be as the first line, PATH CLASS"),
        ("{0} cat\n../secret.png dog\n", "line 2 must name an image of"),
        ("/etc/x.png cat\n", "line 1 must name an image of"),
        ("other/{0} cat\n", "give the folder that its paths begin in as `data`"),
        ("{0}\t\n", "line 1 must be PATH CLASS"),
    ],
)
def test_lists_that_cannot_be_are_one_line(val, tmp_path, text, said):
    path = tmp_path / "list.txt"
    path.write_text(text.format(*NAMES))
    assert said in refusal(lambda: open_validation(str(val), path))


def test_a_flat_folder_without_a_list_says_how_to_name_one(val):
    assert "found no list; add one to it" in (line := refusal(lambda: open_validation(str(val))))
    assert line.endswith("or name one by `labels`")
