"""Data sets by what a user names them: the built-in one, or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.data.class_match import same_name
from resnas_deploy.data.demo import demo_images
from resnas_deploy.data.folder import folder_images, has_images
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.data.shards import is_shard, shard_images
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.images.listing import Ignored, entries_of

DEMO = "demo"
TRAIN, VAL = "train", "val"


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
