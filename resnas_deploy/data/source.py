"""Data sets by what a user names them: the built-in one, or a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.data.demo import demo_images
from resnas_deploy.data.folder import folder_images, has_images
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.data.list_formats import is_csv
from resnas_deploy.data.listed import listed_images
from resnas_deploy.data.name_forms import same_name
from resnas_deploy.data.shards import is_shard, shard_images
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.images.listing import Ignored, entries_of, is_image
from resnas_deploy.images.preprocessing import Preprocessing

DEMO = "demo"
TRAIN, VAL = "train", "val"


def preprocessing_for(data: str, image_size: int) -> Preprocessing:
    """Return how images are evaluated: as ImageNet's, but for the demo's, which fill their frame."""
    usual = Preprocessing.for_image_size(image_size)
    return replace(usual, resize=image_size) if data == DEMO else usual


@dataclass(frozen=True)
class DataSet:
    """Both splits of a data set."""

    name: str
    train: LabelledImages
    val: LabelledImages


def open_data(source: str) -> DataSet:
    """Open the built-in data set, or a folder with `train/` and `val/`, each of class folders or of tar shards.

    Raise `BadInput`, which names what is wrong with it.
    """
    if source == DEMO:
        train, val = demo_images()
        return DataSet(DEMO, train, val)
    root = Path(source)
    if missing := [name for name in (TRAIN, VAL) if not (root / name).is_dir()]:
        raise BadInput(f"`data` must be demo or a folder with train/ and val/, found no {root / missing[0]}")
    ignored = Ignored()
    data = DataSet(root.name, _images(root / TRAIN, ignored), _images(root / VAL, ignored))
    _check_same_classes(data)
    ignored.note(source)
    return data


def open_validation(source: str, labels: Path | None = None) -> LabelledImages:
    """Open what a network is evaluated on: the validation split of a data set, or any labelled images.

    `source` is `demo`, a folder with val/, one that `open_labelled` opens, or the file of a list with its images beside
    it; `labels` is a list that lies elsewhere. Raise `BadInput`, which names what is wrong with it.
    """
    root = Path(source)
    if source == DEMO:
        if labels:
            raise BadInput(f"`labels` must be for a folder of images, found {labels} and the data demo; leave it out")
        return demo_images()[1]
    try:
        if root.is_file() and not labels and not is_image(root.name):
            root, labels = root.parent, root
        is_folder = root.is_dir()
    except (OSError, ValueError):  # a name that is too long, or with a null character
        is_folder = False
    if not is_folder:
        raise BadInput(
            f"`data` must be demo, a folder of labelled images, or a list of such, found {shown(source)}; "
            "check the path"
        )
    if labels:
        ignored = Ignored()
        found = listed_images(root, labels, ignored)
        ignored.note(str(root))
        return found
    if (root / VAL).is_dir() and ((root / TRAIN).is_dir() or entries_of(root, Ignored())[0] == [VAL]):
        root = root / VAL
    return open_labelled(root, "data", "or name one by `labels`")


def open_labelled(folder: Path, field: str = "score_on", or_else: str = "") -> LabelledImages:
    """Open one folder of labelled images: class folders, shards, or images with a list of their classes.

    Raise `BadInput`, which names what is wrong with it, or the parameter `field`; `or_else` is what else may be done
    where a list is missing.
    """
    if not folder.is_dir():
        raise BadInput(f"`{field}` must be a folder of labelled images, found {shown(str(folder))}; check the path")
    ignored = Ignored()
    folders, files = entries_of(folder, Ignored())
    if {TRAIN, VAL} & set(folders) and set(folders) <= {TRAIN, VAL}:
        whole = "" if field == "data" else ", or give the whole as `data`"
        raise BadInput(
            f"`{field}` must be a folder of labelled images, found one with {' and '.join(f'{x}/' for x in folders)}; "
            f"name one of them, such as {folder / folders[-1]}{whole}"
        )
    if any(map(is_image, files)) and (lists := [name for name in files if is_csv(name)]):
        if len(lists) > 1:
            raise BadInput(f"{folder} must have one list of its images' classes, found {lists[0]} and {lists[1]}")
        if has_images(folder, folders):
            raise BadInput(
                f"{folder} must hold images with a list, or class folders, found both ({lists[0]} and {folders[0]}/); "
                "move one kind away"
            )
        found: LabelledImages = listed_images(folder, folder / lists[0], ignored)
    elif any(map(is_image, files)) and not has_images(folder, folders):
        raise BadInput(
            f"{folder} must say which class its images are of, found no list; add one to it, such as labels.csv, of "
            "lines NAME,CLASS, or put the images into a folder for each class" + (f", {or_else}" if or_else else "")
        )
    else:
        found = _images(folder, ignored)
    ignored.note(str(folder))
    return found


def _images(folder: Path, ignored: Ignored) -> LabelledImages:
    folders, files = entries_of(folder, Ignored())
    if not any(map(is_shard, files)):
        return folder_images(folder, ignored)
    if has_images(folder, folders):
        first = next(filter(is_shard, files))
        raise BadInput(
            f"{folder} must hold class folders or shards, found both ({folders[0]}/ and {first}); move one kind away"
        )
    return shard_images(folder, ignored)


def _check_same_classes(data: DataSet) -> None:
    train, val = data.train.class_names, data.val.class_names
    if len(train) == len(val) and all(map(same_name, train, val)):
        return
    only = sorted(set(train) ^ set(val))
    where = TRAIN if only and only[0] in train else VAL
    raise BadInput(
        f"both splits must have the same classes, found {len(train)} in {TRAIN}/ and {len(val)} in {VAL}/"
        + (f", {shown(only[0])} in {where}/ alone" if only else ", in another order")
    )
