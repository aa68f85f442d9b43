"""What systems leave in data folders is no data: the same images whatever lies there, and a note that counts."""

from __future__ import annotations

import io
import logging
import os
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.checks import refusal
from support.small_data import add, write_folder, write_shards

from resnas_deploy.data.source import open_data
from resnas_deploy.exporting.calibration import calibration
from resnas_deploy.images import listing
from resnas_deploy.images.listing import Ignored, files_below, images_below, is_leftover
from resnas_deploy.images.preprocessing import Preprocessing


def content():
    """An image that belongs to no data set here."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(file, "PNG")
    return file.getvalue()


def put(path, data=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content() if data is None else data)


LEFT = {
    "AppleDouble": lambda folder: put(folder / "._0.png", b"\0\5\x16\7" + bytes(4000)),
    "Finder": lambda folder: put(folder / ".DS_Store", b"Bud1"),
    "an icon": lambda folder: put(folder / "Icon\r", b""),
    "Windows": lambda folder: [put(folder / name, b"") for name in ("Thumbs.db", "desktop.ini", "ehthumbs.db")],
    "an archive of macOS": lambda folder: put(folder / "__MACOSX" / "red" / "0.png"),
    "the trash of Linux": lambda folder: put(folder / ".Trash-1000" / "files" / "0.png"),
    "the trash of macOS": lambda folder: put(folder / ".Trashes" / "501" / "0.png"),
    "the trash of Windows": lambda folder: put(folder / "$RECYCLE.BIN" / "S-1-5" / "$R0.png"),
    "old trash": lambda folder: put(folder / "RECYCLER" / "0.png"),
    "volume information": lambda folder: put(folder / "System Volume Information" / "0.png"),
    "a notebook": lambda folder: put(folder / ".ipynb_checkpoints" / "0-checkpoint.png"),
    "what fsck found": lambda folder: put(folder / "lost+found" / "0.png"),
    "what Windows found": lambda folder: put(folder / "FOUND.000" / "0.png"),
    "Synology": lambda folder: put(folder / "@eaDir" / "0.png" / "SYNOPHOTO_THUMB_M.png"),
    "QNAP": lambda folder: put(folder / ".@__thumb" / "0.png"),
    "a snapshot": lambda folder: put(folder / "#snapshot" / "0.png"),
    "thumbnails": lambda folder: put(folder / ".thumbnails" / "large" / "0.png"),
    "a version control": lambda folder: put(folder / ".git" / "0.png"),
    "NFS": lambda folder: put(folder / ".nfs000000001.png", b""),
    "rsync": lambda folder: put(folder / ".0.png.Ab12Cd", b""),
    "a partial download": lambda folder: put(folder / "0.png.crdownload", b""),
    "Safari": lambda folder: put(folder / "0.png.download" / "0.png"),
    "a backup": lambda folder: [put(folder / name) for name in ("0.png~", "#0.png#", "0.png.bak", "~$0.png")],
    "headers of a tar": lambda folder: put(folder / "PaxHeaders.123" / "0.png"),
    "a broken link": lambda folder: (folder / "x.png").symlink_to("nowhere.png"),
    "a link to itself": lambda folder: (folder / "x.png").symlink_to("x.png"),
    "a pipe": lambda folder: os.mkfifo(folder / "x.png"),
    "a text": lambda folder: put(folder / "README.txt", b"about"),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("plain") / "data", train=3, val=2)


def copied(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "data", symlinks=True)


def names(data):
    return [[os.fsdecode(name) for name in part.names] for part in (data.train, data.val)]


@pytest.mark.parametrize("place", ["val", "val/red", "train/blue"])
@pytest.mark.parametrize("kind", LEFT)
def test_folders_have_the_same_images(plain, tmp_path, kind, place, caplog):
    wanted = open_data(str(plain))
    assert not caplog.messages
    root = copied(plain, tmp_path)
    LEFT[kind](root / place)
    found = open_data(str(root))
    assert names(found) == names(wanted)
    assert found.val.class_names == wanted.val.class_names
    (message,) = caplog.messages
    assert message.startswith(f"ignored in {root}: ")


@pytest.mark.parametrize("kind", LEFT)
def test_calibration_has_the_same_images(plain, tmp_path, kind, caplog):
    how = Preprocessing(16, 16)
    wanted = calibration(plain / "train", 9, how)
    root = copied(plain, tmp_path)
    LEFT[kind](root / "train" / "red")
    LEFT[kind](root / "train")
    assert calibration(root / "train", 9, how).to_json() == wanted.to_json()
    assert len(caplog.messages) == 1
    assert "found 9" in refusal(lambda: calibration(root / "train", 10, how))


def test_a_socket_is_no_image(plain, tmp_path, monkeypatch):
    root = copied(plain, tmp_path)
    monkeypatch.chdir(root / "val" / "red")  # a socket's whole path may be too long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("x.png")
        assert names(open_data(str(root))) == names(open_data(str(plain)))


def test_one_note_counts_them_by_kind(plain, tmp_path, caplog):
    root = copied(plain, tmp_path)
    for number in range(3):
        put(root / "val" / "red" / f"._{number}.png")
    put(root / "train" / ".Trash-1000" / "a.png")
    put(root / "train" / "readme.md")
    (root / "val" / "blue" / "gone.png").symlink_to("nowhere")
    open_data(str(root))
    assert caplog.messages == [
        f"ignored in {root}: 4 left by a system or a program (.Trash-1000, ..), 1 outside of the class folders "
        "(readme.md), 1 broken link (gone.png)"
    ]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(
    "name", ["trash", "recycled", "lost", "part", "Icon", "found.00", "tmp", "a.b", "C#", "MACOSX"]
)
def test_classes_of_such_names_stay(plain, tmp_path, name):
    root = copied(plain, tmp_path)
    for split in ("train", "val"):
        (root / split / "red").rename(root / split / name)
    assert name in open_data(str(root)).val.class_names
    assert not is_leftover(name)


# --- folders and links ---


def test_a_folder_named_like_an_image_is_a_folder(plain, tmp_path):
    root = copied(plain, tmp_path)
    (root / "val" / "red" / "0.jpg").mkdir()
    assert names(open_data(str(root))) == names(open_data(str(plain)))
    (root / "val" / "red" / "0.png").rename(root / "val" / "red" / "0.jpg" / "0.png")
    found = open_data(str(root)).val
    assert [os.fsdecode(name) for name in found.names if b"red" in name] == ["red/0.jpg/0.png", "red/1.png"]
    assert len(images_below(root / "val")) == 6


def test_links_to_folders_and_files_are_followed(plain, tmp_path):
    root = copied(plain, tmp_path)
    (tmp_path / "far").mkdir()
    (root / "val" / "red" / "1.png").rename(tmp_path / "far" / "1.png")
    (root / "val" / "red" / "more").symlink_to("../../../far")
    (root / "val" / "blue").rename(tmp_path / "blue")
    (root / "val" / "blue").symlink_to(tmp_path / "blue")
    (root / "val" / "green" / "0.png").rename(tmp_path / "0.png")
    (root / "val" / "green" / "0.png").symlink_to(tmp_path / "0.png")
    found = open_data(str(root)).val
    images = [np.asarray(found.image(index)).tobytes() for index in range(6)]
    wanted = open_data(str(plain)).val
    assert images == [np.asarray(wanted.image(index)).tobytes() for index in range(6)]


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "/", "../blue", "inner", "inner/up"])
def test_links_to_what_is_listed_anyway_or_in_circles_end(plain, tmp_path, target, caplog):
    root = copied(plain, tmp_path)
    inner = root / "val" / "red" / "inner"
    inner.mkdir()
    (root / "val" / "red" / "1.png").rename(inner / "1.png")
    (inner / "up").symlink_to("..")
    (root / "val" / "red" / "again").symlink_to(target)
    found = open_data(str(root)).val
    assert [os.fsdecode(name) for name in found.names if b"red" in name] == ["red/0.png", "red/inner/1.png"]
    assert np.bincount(found.labels).tolist() == [2, 2, 2]
    assert "2 link to what is listed anyway" in caplog.messages[0]


def test_links_that_fan_out_are_walked_once(tmp_path):
    """Two links a folder, thirty folders deep: a billion paths to one image."""
    for number in range(30):
        (tmp_path / f"far{number}").mkdir()
        for name in ("a", "b"):
            (tmp_path / f"far{number}" / name).symlink_to(f"../far{number + 1}")
    put(tmp_path / "far30" / "0.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "start").symlink_to("../far0")
    assert len(files_below(tmp_path / "data", Ignored())) == 1


def test_a_link_to_a_hidden_store_is_followed(tmp_path):
    put(tmp_path / "data" / ".store" / "0.png")
    (tmp_path / "data" / "more").symlink_to(".store")
    assert files_below(tmp_path / "data", Ignored()) == [tmp_path / "data" / "more" / "0.png"]


def test_a_link_that_leads_astray_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MOST_FOLDERS", 20)
    for number in range(30):
        (tmp_path / str(number)).mkdir()
    assert "must hold at most 20 folders, found more" in refusal(lambda: files_below(tmp_path, Ignored()))


def test_deep_folders_are_walked(tmp_path):
    deep, here = tmp_path, Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1200):  # more than Python's calls may be nested
            Path("a").mkdir()
            os.chdir("a")
            deep = deep / "a"
            if len(str(deep)) > 3900:
                break
        Path("0.png").write_bytes(content())
    finally:
        os.chdir(here)
    try:
        assert len(files_below(tmp_path, Ignored())) == 1
    finally:  # pytest would nest its calls as deeply
        subprocess.run(["rm", "-rf", tmp_path / "a"], check=True)


def test_the_order_is_that_of_the_paths_parts(tmp_path):
    for name in ("b/1.png", "b.png", "a-b/0.png", "a/9.png", "a.png", "B.JPEG", "c/d/e.gif"):
        put(tmp_path / name)
    found = files_below(tmp_path, Ignored())
    assert found == sorted(tmp_path.rglob("*.*"))


def test_a_folder_that_cannot_be_read_is_named(plain, tmp_path, monkeypatch):
    root = copied(plain, tmp_path)
    closed = root / "val" / "red" / "closed"
    closed.mkdir()
    real = os.scandir

    def scandir(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)  # a folder's mode would not stop root
    message = refusal(lambda: open_data(str(root)))
    assert message.startswith(f"{str(closed)!r} must be readable, found: Permission denied; change its permissions")


@pytest.mark.parametrize("kind", ["AppleDouble", "the trash of Linux", "a broken link"])
def test_a_class_of_nothing_else_is_refused(plain, tmp_path, kind):
    root = copied(plain, tmp_path)
    (root / "val" / "rest").mkdir()
    LEFT[kind](root / "val" / "rest")
    assert "rest must hold at least one image" in refusal(lambda: open_data(str(root)))


def test_two_classes_in_one_folder_are_refused(plain, tmp_path):
    root = copied(plain, tmp_path)
    for split in ("train", "val"):
        (root / split / "rot").symlink_to("red")
    assert "found 'red' and 'rot' leading to one" in refusal(lambda: open_data(str(root)))


def test_images_without_class_folders_are_counted(tmp_path):
    for split in ("train", "val"):
        put(tmp_path / split / "0.png")
        put(tmp_path / split / ".hidden" / "0.png")
    message = refusal(lambda: open_data(str(tmp_path)))
    assert (
        "must hold a folder for each class, found 1 image outside of one (0.png) "
        "(ignored: 1 left by a system or a program (.hidden)" in message
    )


# --- shards ---


def test_shards_have_the_same_samples(tmp_path, caplog):
    wanted = open_data(str(write_shards(tmp_path / "plain")))
    root = write_shards(tmp_path / "data")
    put(root / "val" / "._0000.tar", b"\0\5\x16\7" + bytes(500))
    put(root / "val" / ".DS_Store", b"")
    put(root / "val" / ".Trash-1000" / "files" / "0000.tar")
    put(root / "val" / "__MACOSX" / "._0000.tar")
    (root / "val" / "x.tar").mkdir()
    (root / "val" / "gone.tar").symlink_to("nowhere")
    put(root / "val" / "0009.tar.part", b"")
    with tarfile.open(root / "val" / "0001.tar", "a") as archive:
        for name in ("._x.png", "01/._0000.png", "__MACOSX/01/x.png", ".Trash-1000/files/y.png", "PaxHeader/z.png"):
            add(archive, name, content())
            add(archive, name.replace(".png", ".cls"), b"1")
        add(archive, ".DS_Store", b"")
    found = open_data(str(root))
    assert found.val.keys == wanted.val.keys
    assert found.val.labels.tolist() == wanted.val.labels.tolist()
    (message,) = caplog.messages
    assert "16 left by a system or a program" in message
    assert "1 broken link (gone.tar)" in message
    assert "1 beside the shards (x.tar)" in message


def test_members_that_begin_with_the_folder_are_samples(tmp_path):
    root = write_shards(tmp_path / "data", shards=1)
    with tarfile.open(root / "val" / "0001.tar", "w") as archive:
        add(archive, "./0.png", content())
        add(archive, "./0.cls", b"2")
    assert open_data(str(root)).val.labels[-1] == 2


def test_shards_and_class_folders_together_are_refused(plain, tmp_path):
    root = copied(plain, tmp_path)
    put(root / "val" / "images.tar", b"")
    assert "must hold class folders or shards, found both (blue/ and images.tar)" in refusal(
        lambda: open_data(str(root))
    )
