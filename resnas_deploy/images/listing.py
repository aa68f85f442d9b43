"""Which files of a folder are its images or shards, and what is passed over: the one home of that rule.

Systems, browsers and editors leave files in data folders, some of them named like images. They are no data, and what
was passed over is counted in a note.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from resnas_deploy.errors import BadInput

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
MOST_FOLDERS = 100_000  # below one that is listed: a link may lead anywhere

_LEFTOVERS = frozenset(
    {
        "__macosx",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "icon\r",
        "$recycle.bin",
        "system volume information",
        "network trash folder",
        "temporary items",
        "lost+found",
        "lost.dir",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
    }
)
_LEFTOVER = re.compile(
    r"\..*"  # hidden: AppleDouble (._x), .DS_Store, .Trash-1000, .ipynb_checkpoints, what NFS and rsync leave
    r"|RECYCLE[RD]"  # in capitals alone: a class may be called recycled
    r"|~\$.*|#.*#|.*~"  # locks and backups of editors
    r"|(?i:paxheaders?(\.\d+)?|gnusparsefile\.\d+|found\.\d{3})"  # a tar's headers taken for files; fsck of Windows
    r"|(?i:.*\.(part|partial|filepart|crdownload|opdownload|download|aria2|tmp|swp|bak))",
    re.DOTALL,
)


class Reason(Enum):
    """Why something was passed over."""

    LEFTOVER = "left by a system or a program"
    OTHER = "without the name of an image"
    BROKEN = "broken link"
    NO_FILE = "neither file nor folder"
    AGAIN = "link to what is listed anyway"
    OUTSIDE = "outside of the class folders"
    BESIDE = "beside the shards"
    UNLISTED = "not in the list"


class Ignored:
    """What was passed over: how many of each kind, and the first."""

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self.first: dict[Reason, str] = {}

    def add(self, reason: Reason, path: str, start: Path | None = None) -> None:
        """Count one more, shown as it is named from `start` on; a folder counts once, whatever is in it."""
        self.counts[reason] += 1
        if reason not in self.first:  # of a million it is worked out once
            self.first[reason] = os.path.relpath(path, start) if start else path

    def __str__(self) -> str:
        parts = [
            f"{count} {reason.value} ({self.first[reason]}{', ..' if count > 1 else ''})"
            for reason, count in self.counts.items()
        ]
        return ", ".join(parts)

    def note(self, source: str) -> None:
        """Log one line where there is anything to tell."""
        if self.counts:
            logging.getLogger(__name__).warning("ignored in %s: %s", source, self)


def is_leftover(name: str) -> bool:
    """Return whether a file or folder of that name (its last part) is no data."""
    return name.casefold() in _LEFTOVERS or bool(_LEFTOVER.fullmatch(name))


def is_leftover_path(path: str) -> bool:
    """Return whether any part of a path in an archive is no data."""
    return any(is_leftover(part) for part in path.replace(os.sep, "/").split("/") if part not in ("", ".", ".."))


def is_image(name: str) -> bool:
    """Return whether a file's name ends as an image's does."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122  a path's own takes four times as long


@dataclass(frozen=True)
class _Place:
    """A folder on the way: how it was reached, and where it really is."""

    path: Path
    real: str


def files_below(
    folder: Path, ignored: Ignored, wanted: Callable[[str], bool] = is_image, top: Path | None = None
) -> list[Path]:
    """Return the files below a folder, at any depth, sorted by the parts of their paths.

    Links are followed, but none to a folder that is listed anyway: one above the folder, one below `top` (a folder
    above it, else the folder itself), or one that another link led to. Raise `BadInput` for a folder that cannot be
    read, since what is in it would be missed, and for more than `MOST_FOLDERS` folders.
    """
    return [Path(path) for path in _walk(folder, ignored, wanted, os.path.realpath(top or folder))]


def images_inside(folder: Path, ignored: Ignored, top: Path) -> list[str]:
    """Return what `files_below` does of images, as texts without the folder: no path is made of a million files."""
    folder = folder if folder.name else folder.absolute()  # `.` is named in some paths, and not in others
    start = len(os.path.join(folder, ""))  # noqa: PTH118  which ends in a slash
    return [path[start:] for path in _walk(folder, ignored, is_image, os.path.realpath(top))]


def _walk(folder: Path, ignored: Ignored, wanted: Callable[[str], bool], top: str) -> Iterator[str]:
    start = _Place(folder, os.path.realpath(folder))
    listed, waiting = {start.real}, [_entries(start, ignored)]
    while waiting:  # no recursion: folders may be nested more deeply than Python's calls
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        entry, place = found
        if isinstance(place, _Place):
            if place.real in listed or (
                entry.is_symlink() and (_is_above(place.real, start.real) or _is_seen_below(place.real, top))
            ):
                ignored.add(Reason.AGAIN, entry.path, folder)
                continue
            listed.add(place.real)
            if len(listed) > MOST_FOLDERS:
                raise BadInput(
                    f"{folder} must hold at most {MOST_FOLDERS} folders, found more; does a link lead astray?"
                )
            waiting.append(_entries(place, ignored, folder))
        elif wanted(entry.name):
            yield entry.path
        else:
            ignored.add(Reason.OTHER, entry.path, folder)


def entries_of(folder: Path, ignored: Ignored) -> tuple[list[str], list[str]]:
    """Return the sorted names of the folders and of the files right in a folder, links followed. Raise `BadInput`."""
    folders, files = list[str](), list[str]()
    for entry, place in _entries(_Place(folder, os.path.realpath(folder)), ignored):
        (folders if place else files).append(entry.name)
    return folders, files


def _entries(
    place: _Place, ignored: Ignored, start: Path | None = None
) -> Iterator[tuple[os.DirEntry[str], _Place | None]]:
    """Yield what is in a folder, sorted by name, with the place of a folder; leftovers are passed over."""
    start = start or place.path
    try:
        with os.scandir(place.path) as there:
            entries = sorted(there, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(place.path, error) from None
    for entry in entries:
        if is_leftover(entry.name):
            ignored.add(Reason.LEFTOVER, entry.path, start)
            continue
        try:
            mode = entry.stat().st_mode if entry.is_symlink() else _kind(entry)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
                raise _unreadable(Path(entry.path), error) from None
            ignored.add(Reason.BROKEN, entry.path, start)
            continue
        if stat.S_ISDIR(mode):
            inside = os.path.join(place.real, entry.name)  # noqa: PTH118  a path's own takes four times as long
            yield entry, _Place(Path(entry.path), os.path.realpath(entry.path) if entry.is_symlink() else inside)
        elif stat.S_ISREG(mode):
            yield entry, None
        else:
            ignored.add(Reason.NO_FILE, entry.path, start)


def _kind(entry: os.DirEntry[str]) -> int:
    """Return the file type, which the folder itself tells: a million files need not be asked one by one."""
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else 0


def _is_above(folder: str, other: str) -> bool:
    """Return whether one real folder is above another, or is that."""
    return Path(other).is_relative_to(folder)


def _is_seen_below(folder: str, top: str) -> bool:
    """Return whether a real folder is below `top` and nothing on the way there is passed over."""
    return Path(folder).is_relative_to(top) and not is_leftover_path(os.path.relpath(folder, top))


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{str(path)!r} must be readable, found: {error.strerror}; change its permissions, or take it out of the data"
    )


def images_below(folder: Path) -> Sequence[Path]:
    """Return the images below a folder; what was passed over is noted. Raise `BadInput` where there is none."""
    return list(each_image_below(folder))


def each_image_below(folder: Path, *, notes: bool = True) -> Iterator[Path]:
    """Yield the images below a folder as they are come to; what was passed over is noted in the end.

    Raise `BadInput` where there is none, and where a folder below it cannot be read.
    """
    ignored, found = Ignored(), False
    for path in _walk(folder, ignored, is_image, os.path.realpath(folder)):
        found = True
        yield Path(path)
    if not found:
        passed = f" (ignored: {ignored})" if ignored.counts else ""
        raise BadInput(
            f"{str(folder)!r} must hold images ({', '.join(sorted(SUFFIXES))}), found none{passed}; name another folder"
        )
    if notes:
        ignored.note(str(folder))
