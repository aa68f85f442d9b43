"""Options with absurd values, and files that are none: one short line and exit code 2, at once."""

from __future__ import annotations

import os

import pytest

from resnas_deploy.errors import LONGEST

HUGE = "9" * 30


@pytest.mark.parametrize(
    "command",
    [
        ["export", "--arch", "small", "--image-size", "2147483648"],
        ["export", "--arch", "small", "--image-size", "100000"],
        ["export", "--arch", "small", "--threads", "1000000000"],
        ["export", "--arch", "small", "--seed", HUGE],
        ["export", "--arch", "small", "--max-drop", "nan"],
        ["export", "--arch", "small", "--batch", "1:1000000000000"],
        ["export", "--arch", "small", "--batch", "\uff11:\uff18"],
        ["export", "--arch", "small", "--batch", "1_0"],
        ["export", "--arch", "small", "--batch", "9" * 5000],
        ["export", "--arch", "x" * 100_000],
        ["export", "--arch", "small", "--class-names", "/dev/zero", "--unverified"],
        ["bench", "none", "--runs", "1000000000000"],
        ["bench", "none", "--openings", HUGE],
        ["bench", "none", "--streams", "1,\u00b2"],
        ["bench", "none", "--batch", ",".join(["1"] * 10_000)],
        ["gate", "--baseline", "/dev/zero"],
        ["predict", "none", "none.png", "--top", HUGE],
        ["latency", "check", "--subnets", HUGE],
        ["latency", "profile", "--networks", HUGE],
        ["latency", "predict", "--arch", "small", "--batch", "1000000000000"],
        ["search", "--supernet", "s", "--out", "o", "--data", "demo", "--iterations", HUGE],
        ["search", "--supernet", "s", "--out", "o", "--data", "demo", "--first", HUGE],
        ["train", "subnet", "--arch", "small", "--data", "demo", "--out", "o", "--seed", HUGE],
        ["train", "subnet", "--arch", "small", "--data", "demo", "--out", "o", "--set", "epochs=1e400"],
        ["train", "subnet", "--arch", "small", "--data", "demo", "--out", "o", "--set", f"batch={HUGE}"],
        ["train", "subnet", "--arch", "small", "--data", "demo", "--out", "o", "--recipe", "/dev/zero"],
        ["evaluate", "none.safetensors", "--data", "demo", "--device", "cuda:\u00b2"],
        ["evaluate", "none", "--data", "demo", "--batch", HUGE],
        ["import", "/dev/zero", "--network-def", "((4, 8), (2, 8, 4))", "--out", "o.safetensors"],
        ["triton", "serve", "none", "--poll", HUGE],
        ["triton", "serve", "none", "--ready-within", "inf"],
        ["triton", "serve", "none", "--ready-within", "nan"],
        ["triton", "serve", "none", "--http-port", "65536"],
        ["triton", "load", "grpc://localhost:1", "--seconds", "nan"],
        ["triton", "load", "grpc://localhost:1", "--batch", "1000000000000"],
        ["triton", "load", "grpc://localhost:99999"],
        ["inspect", "x" * 100_000],
        ["\u00b2" * 10_000],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_one_short_line(resnas, command):
    done = resnas(*command, code=2)
    assert done.err.startswith("resnas: ")
    assert len(done.err.splitlines()) == 1
    assert len(done.err) <= LONGEST + len("resnas: ") + 1


def test_pipes_are_not_waited_for(resnas, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for command in (
        ["import", "pipe", "--network-def", "((4, 8), (2, 8, 4))", "--out", "o.safetensors"],
        ["export", "--checkpoint", "pipe"],
        ["export", "--checkpoint", "none.safetensors", "--subnet", "pipe"],
        ["gate", "--baseline", "pipe"],
        ["train", "subnet", "--arch", "small", "--data", "demo", "--out", "o", "--recipe", "pipe"],
        ["inspect", "pipe"],
        ["latency", "predict", "--arch", "small", "--store", "pipe"],
    ):
        assert len(resnas(*command, code=2).err.splitlines()) == 1


def test_an_architecture_as_editors_of_windows_write_it(resnas, tmp_path):
    text = resnas("archs", "small").out
    (tmp_path / "arch.json").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert resnas("inspect", "arch.json", "--json").json["fingerprint"]
    (tmp_path / "wide.json").write_bytes(text.encode("utf-16"))
    assert "wide.json must be UTF-8 text, found UTF-16; save it as UTF-8" in resnas("inspect", "wide.json", code=2).err


def test_a_network_def_as_editors_of_windows_write_it(resnas, tmp_path):
    text = resnas("inspect", "small", "--json").json["network_def"]
    (tmp_path / "net.txt").write_bytes(b"\xef\xbb\xbf" + text.replace(", ", ",\r\n").encode() + b"\r\n")
    assert resnas("inspect", "net.txt", "--json").json["network_def"] == text
