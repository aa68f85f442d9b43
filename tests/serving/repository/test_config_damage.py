"""`config.pbtxt` and what lies beside it, edited by hand or damaged: a finding, never a traceback."""

from __future__ import annotations

import pytest
from support.repository_findings import findings

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings


@pytest.fixture
def models(mini_artifact, tmp_path):
    add_model(tmp_path / "models", open_artifact(mini_artifact), ModelSettings("mini"), ensemble=True)
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"TYPE_FP32", b"99", "found images type 99"),
        (b"max_batch_size: 8", b"max_batch_size: 9e99", "must be a model configuration of Triton's"),
        (b"max_batch_size: 8", b"max_batch_size: " + b"9" * 5000, "must be a model configuration of Triton's"),
        (b'"mini"', b'"' + b"x" * 100_000 + b'"', "must name the model as its folder is named"),
        (b'"mini"', b'"\\377"', "must be a model configuration of Triton's"),
        (b"input {", b"input {" * 5000, "must be a model configuration of Triton's"),
        (b"input {", b"\xff", "must be UTF-8 text"),
        (b"input {", b"\0", "found a null character"),
    ],
)
def test_a_damaged_configuration(models, old, new, said):
    path = models / "mini" / "config.pbtxt"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    lines = findings(models)
    assert any(said in line for line in lines), lines
    assert all(len(line) < 1000 for line in lines)


def test_a_configuration_as_editors_of_windows_write_it(models):
    path = models / "mini" / "config.pbtxt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert findings(models) == []
    path.write_bytes(path.read_text(encoding="utf-8-sig").encode("utf-16"))
    assert any("found UTF-16; save it as UTF-8" in line for line in findings(models))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"image_size": 1e400}', b'{"image_size": "x"}', b"[" * 100_000])
def test_damaged_preprocessing(models, content):
    (models / "mini_preprocess" / "1" / "preprocessing.json").write_bytes(content)
    assert any("preprocessing.json must be one that resnas wrote" in line for line in findings(models))
