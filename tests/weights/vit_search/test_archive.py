"""A checkpoint's zip is looked at before it is read: what is in it takes no more memory than it has bytes."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest
import torch
from support.checks import refusal
from support.release_files import DEFINITION, MINI, saved

from resnas_deploy.weights.vit_search.archive import MOST_MEMBERS, MOST_PICKLE, check_archive
from resnas_deploy.weights.vit_search.importer import import_checkpoint


def rewritten(path, change=lambda name, content: content, compression=zipfile.ZIP_STORED, more=()):
    """The small checkpoint with other members, as any zip program would write it."""
    with zipfile.ZipFile(MINI) as whole, zipfile.ZipFile(path, "w", compression) as archive:
        for name in whole.namelist():
            archive.writestr(name, change(name, whole.read(name)))
        for name, content in more:
            archive.writestr(name, content)
    return path


def test_what_torch_saved_is_passed_on(tmp_path):
    check_archive(MINI)
    check_archive(rewritten(tmp_path / "stored"))
    older = torch.load(MINI, map_location="cpu", weights_only=True)
    check_archive(saved(tmp_path / "older", older, _use_new_zipfile_serialization=False))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(tmp_path, compression):
    path = rewritten(tmp_path / "a.pth.tar", compression=compression)
    message = refusal(lambda: import_checkpoint(path, DEFINITION))
    assert "which compresses nothing, found 'vit_search_mini.pth/data.pkl' compressed" in message


def test_gigabytes_of_zeros_in_a_small_file_are_never_in_memory(tmp_path):
    """A megabyte that would be a gigabyte; in a process of its own, whose memory is looked at."""
    path = tmp_path / "a.pth.tar"
    with zipfile.ZipFile(MINI) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in whole.namelist():
            if not name.endswith("data/10"):
                archive.writestr(name, whole.read(name))
                continue
            with archive.open(name, "w", force_zip64=True) as member:
                for _ in range(64):
                    member.write(bytes(2**24))
    program = (
        "import sys; from pathlib import Path; from resnas_deploy.errors import BadInput\n"
        "from resnas_deploy.weights.vit_search.importer import import_checkpoint\n"
        "try:\n    import_checkpoint(Path(sys.argv[1]), '')\n"
        "except BadInput as error:\n    print(error)\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"  # getrusage counts a parent's
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=300)
    said, peak_kb = done.stdout.splitlines()
    assert "compressed" in said
    assert int(peak_kb) < 600_000


def test_sizes_that_lie(tmp_path):
    path = rewritten(tmp_path / "a.pth.tar")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(content)
    assert "beyond the end" in refusal(lambda: import_checkpoint(path, DEFINITION))


def test_members_that_lie_on_each_other(tmp_path):
    path = rewritten(tmp_path / "a.pth.tar")
    content = bytearray(path.read_bytes())
    last, first = content.rindex(b"PK\x01\x02"), content.index(b"PK\x01\x02")
    content[last + 42 : last + 46] = content[first + 42 : first + 46]  # where the member begins
    path.write_bytes(content)
    assert "inside another member" in refusal(lambda: import_checkpoint(path, DEFINITION))


def test_two_members_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = rewritten(tmp_path / "a.pth.tar", more=[("vit_search_mini.pth/version", b"3\n")])
    assert "two members of one name" in refusal(lambda: import_checkpoint(path, DEFINITION))


def test_too_many_members_are_not_listed(tmp_path):
    path = tmp_path / "a.pth.tar"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10):
            archive.writestr(str(number), b"")
    content = bytearray(path.read_bytes())
    content[-14:-10] = struct.pack("<HH", 0xFFFF, 0xFFFF)
    path.write_bytes(content)
    message = refusal(lambda: import_checkpoint(path, DEFINITION))
    assert "must be a whole file written by torch.save" in message or f"at most {MOST_MEMBERS} members" in message


def test_a_pickle_that_is_too_long(tmp_path):
    path = rewritten(tmp_path / "a", lambda name, content: content + bytes(MOST_PICKLE) * name.endswith("data.pkl"))
    assert f"data.pkl must have at most {MOST_PICKLE} bytes" in refusal(lambda: check_archive(path))


def test_a_second_end_in_a_comment(tmp_path):
    """Two readers would find two directories."""
    path = rewritten(tmp_path / "a.pth.tar")
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(18)
    assert "found damaged or other data" in refusal(lambda: import_checkpoint(path, DEFINITION))


def test_bytes_before_the_zip(tmp_path):
    content = io.BytesIO(MINI.read_bytes()).getvalue()
    (tmp_path / "a.pth.tar").write_bytes(b"PK\x03\x04" + content)
    assert "found damaged or other data" in refusal(lambda: import_checkpoint(tmp_path / "a.pth.tar", DEFINITION))


def doubled(times):
    """A pickle of plain data, as torch reads it: a key that holds another twice, which holds another twice, .."""
    memo = b"".join(b"h" + bytes([n - 1]) + b"h" + bytes([n - 1]) + b"\x86q" + bytes([n]) for n in range(3, 3 + times))
    key = b"h" + bytes([2 + times])
    return b"\x80\x02}(X\x01\x00\x00\x00l](" + b")q\x02" + memo + b"eX\x05\x00\x00\x00model}(" + key + b"K\x01uu."


@pytest.mark.parametrize("older", [False, True])
def test_a_key_that_holds_itself_many_times(tmp_path, older):
    """Some hundred bytes, of which a hash would go through 2**60 parts."""
    path = tmp_path / "a.pth.tar"
    if older:
        start = [pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        path.write_bytes(b"".join([*start, doubled(60), pickle.dumps([], 2)]))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (("data.pkl", doubled(60)), ("version", b"3\n"), ("byteorder", b"little")):
                archive.writestr(f"archive/{name}", content)
    assert "an object of more than 10000000 parts" in refusal(lambda: import_checkpoint(path, DEFINITION))


def test_the_same_key_in_small_is_told_of(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        for name, content in (("data.pkl", doubled(6)), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"archive/{name}", content)
    assert "model must map names to tensors" in refusal(lambda: import_checkpoint(tmp_path / "a", DEFINITION))
