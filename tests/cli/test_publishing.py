"""`resnas card` and `resnas sign`, and `resnas verify` of what was signed."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.checks import check_schema
from support.key_pairs import write_pair


@pytest.fixture
def keys(tmp_path):
    write_pair(tmp_path, "ours", ec.generate_private_key(ec.SECP256R1()))
    write_pair(tmp_path, "other", ec.generate_private_key(ec.SECP256R1()))
    return tmp_path


def test_a_card_with_a_bill_then_a_signature(resnas, artifact_copy, keys):
    card = resnas("card", artifact_copy, "--sbom", "bill.json", "--license", "Apache-2.0", "--json")
    check_schema("card", card.json)
    assert (keys / "bill.json").exists()
    assert resnas("card", artifact_copy, code=2).err.count("README.md exists") == 1
    check_schema("sign", resnas("sign", artifact_copy, "--private-key", "ours.pem", "--json").json)
    done = resnas("verify", artifact_copy, "--public-key", "ours.pub", "--threads", 1)
    assert "every file is as it was signed by the key ours.pub" in done.out
    failed = resnas("verify", artifact_copy, "--public-key", "other.pub", code=3)
    assert (failed.out, failed.err.count("\n")) == ("", 1)


def test_the_password_comes_from_the_environment(resnas, artifact_copy, keys, monkeypatch):
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

    write_pair(keys, "locked", ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"secret"))
    assert "--password" in resnas("sign", artifact_copy, "--private-key", "locked.pem", code=2).err
    monkeypatch.setenv("RESNAS_KEY_PASSWORD", "secret")
    resnas("sign", artifact_copy, "--private-key", "locked.pem")
