"""A signature holds for the folder that was signed, and for no other: real keys, real files, and the format's own tool.

Sigstore's identities need its servers; they are tried here as far as the call alone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from support.checks import check_schema, refusal
from support.key_pairs import write_pair

import resnas_deploy as resnas
from resnas_deploy.errors import PackageMissing, VerificationFailed
from resnas_deploy.publishing.signing import SIGNATURE, Trusted, check_signature


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    write_pair(folder, "ours", ec.generate_private_key(ec.SECP256R1()))
    write_pair(folder, "other", ec.generate_private_key(ec.SECP384R1()))
    write_pair(folder, "locked", ec.generate_private_key(ec.SECP521R1()), BestAvailableEncryption(b"secret"))
    write_pair(folder, "rsa", rsa.generate_private_key(65537, 2048))
    write_pair(folder, "bitcoin", ec.generate_private_key(ec.SECP256K1()))
    return folder


@pytest.fixture
def signed(artifact_copy, keys):
    resnas.sign(artifact_copy, private_key=keys / "ours.pem")
    return artifact_copy


def check(folder, key, **options):
    check_signature(folder, folder / SIGNATURE, Trusted(key), **options)


def refused(folder, key):
    return refusal(lambda: check(folder, key), VerificationFailed)


def test_the_key_that_signed_and_no_other(signed, keys):
    check(signed, keys / "ours.pub")
    assert "Key mismatch" in refused(signed, keys / "other.pub")
    resnas.sign(signed, private_key=keys / "locked.pem", password="secret", force=True)
    check(signed, keys / "locked.pub")
    assert "Key mismatch" in refused(signed, keys / "ours.pub")


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "weights.safetensors", "README.md"])
def test_every_file_counts(artifact_copy, keys, name):
    resnas.card(artifact_copy)
    resnas.sign(artifact_copy, private_key=keys / "ours.pem")
    path = artifact_copy / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{name} was changed" in refused(artifact_copy, keys / "ours.pub")
    path.unlink()
    assert f"{name} is missing" in refused(artifact_copy, keys / "ours.pub")
    path.write_bytes(content)
    check(artifact_copy, keys / "ours.pub")


def test_what_came_later_is_not_signed(signed, keys):
    (signed / "engines").mkdir()
    (signed / "engines" / "made-later.engine").write_bytes(b"code")
    assert "engines/made-later.engine was not signed" in refused(signed, keys / "ours.pub")
    check(signed, keys / "ours.pub", ignore_unsigned=True)


def test_a_hub_may_lay_the_files_out_as_links(signed, keys, tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    for number, path in enumerate(signed.iterdir()):
        shutil.copy(path, blobs / str(number))
        (snapshot / path.name).symlink_to(f"../blobs/{number}")
    check(snapshot, keys / "ours.pub")
    (blobs / "0").write_bytes(b"other")
    refused(snapshot, keys / "ours.pub")


def test_the_formats_own_tool_reads_ours_and_ours_reads_its(signed, keys, tmp_path):
    tool = [sys.executable, "-m", "model_signing"]
    options = ["--signature", signed / SIGNATURE, "--public_key", keys / "ours.pub"]
    done = subprocess.run([*tool, "verify", "key", *options, signed], capture_output=True, text=True)
    assert (done.returncode, "succeeded" in done.stdout + done.stderr) == (0, True), done
    theirs = tmp_path / "theirs.sig"
    options = ["--signature", theirs, "--private_key", keys / "other.pem"]
    (signed / SIGNATURE).unlink()
    subprocess.run([*tool, "sign", "key", *options, signed], capture_output=True, check=True)
    check_signature(signed, theirs, Trusted(keys / "other.pub"))


def nonsense(text):
    yield from (b"", b"{}", b"[]", b"\xff\xfe", text[:-10], text.replace(b'"sig"', b'"gis"'))
    bundle = json.loads(text)
    bundle["dsseEnvelope"]["signatures"] = []
    yield json.dumps(bundle).encode()
    bundle["dsseEnvelope"] = None
    yield json.dumps(bundle).encode()
    yield b'{"a":' * 100_000


def test_nonsense_is_never_believed(signed, keys, capsys):
    path = signed / SIGNATURE
    for text in nonsense(path.read_bytes()):
        path.write_bytes(text)
        refused(signed, keys / "ours.pub")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "found"), [("rsa", "rsa.pem: a key of another kind"), ("bitcoin", "bitcoin.pem: ")])
def test_keys_of_other_kinds(signed, keys, name, found):
    sign = lambda: resnas.sign(signed, private_key=keys / f"{name}.pem", force=True)  # noqa: E731  one line, asked once below
    for line in (refusal(sign), refusal(lambda: check(signed, keys / f"{name}.pub")).replace(".pub: ", ".pem: ")):
        assert "P-256" in line
        assert found in line
    check(signed, keys / "ours.pub")  # which is as it was


def test_what_must_be_told(signed, keys, tmp_path):
    ours = keys / "ours.pem"
    assert "who signs" in refusal(lambda: resnas.sign(signed))
    assert "who signs" in refusal(lambda: resnas.sign(signed, private_key=ours, sigstore=True))
    assert "model.sig exists" in refusal(lambda: resnas.sign(signed, private_key=ours))
    assert "`password`" in refusal(lambda: resnas.sign(signed, private_key=keys / "locked.pem", force=True))
    assert "none.pem" in refusal(lambda: resnas.sign(signed, private_key=keys / "none.pem", force=True))
    assert "whose signature" in refusal(lambda: resnas.verify(signed, signature=signed / SIGNATURE))
    assert "whose signature" in refusal(lambda: resnas.verify(signed, ignore_unsigned=True))
    assert "together" in refusal(lambda: resnas.verify(signed, identity="me@example.org"))
    assert "together" in refusal(lambda: resnas.verify(signed, issuer="https://example.org"))
    assert "found no signature at" in refusal(
        lambda: resnas.verify(signed, signature=tmp_path / "other.sig", public_key=keys / "ours.pub")
    )


def test_verify_says_by_whom_and_stops_where_it_is_another(signed, keys):
    found = resnas.verify(signed, public_key=keys / "ours.pub", runner="ort-cpu", threads=1)
    assert found.signed_by == f"the key {keys / 'ours.pub'}"
    check_schema("verify", found.to_json())
    refusal(lambda: resnas.verify(signed, public_key=keys / "other.pub"), VerificationFailed)


def test_without_the_package(signed, keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    assert "resnas[sign]" in refusal(lambda: resnas.sign(signed, sigstore=True, force=True), PackageMissing)
    assert "resnas[sign]" in refusal(lambda: resnas.verify(signed, public_key=keys / "ours.pub"), PackageMissing)
