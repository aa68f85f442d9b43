"""Verification finds what is wrong, and where. Folding rules are broken on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from exporting import SMALL, request

from resnas_deploy.artifact import open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.export import fold, verify
from resnas_deploy.export.pipeline import export, failed_name
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.untrained import untrained


def run(tmp_path, **changes):
    return export(lambda: untrained(SMALL), request(tmp_path, **changes), lambda _: None)


@pytest.mark.parametrize(
    ("precision", "runner"),
    [("fp32", "ort-cpu"), ("fp32", "openvino"), ("fp16", "ort-cpu"), ("fp16", "openvino"), ("bf16", "openvino")],
)
def test_passes_within_the_stated_tolerance(tmp_path, precision, runner):
    found = run(tmp_path, precision=precision, verify_on=RUNNERS[runner]).manifest.verification
    assert found.tolerance == verify.TOLERANCES[precision]
    assert found.error <= found.tolerance, f"largest difference {found.error:.1e}, tolerance {found.tolerance:.0e}"
    assert found.error > 0, "a lower precision or another runtime never gives the very same bits"
    assert found.batches == (1, 2, 8)
    assert found.images == 8 + len(found.photographs)
    assert found.photographs == ("astronaut.jpg", "cat.jpg", "coffee.jpg", "rocket.jpg")
    assert runner in found.runner


@pytest.mark.parametrize(
    ("rule", "broken", "element"),
    [
        ("stem_table", lambda position, token, bias: position + bias, "stem"),
        ("norm_shift_into_bias", lambda weight, bias, shift: bias, "stage1.block1"),
        (
            "shift_image",
            lambda weight, shift, side: np.zeros(((side // 2) ** 2, len(weight)), np.float32),
            "reduction1",
        ),
        ("attention_scale_into_query", lambda query, head_dim: query, "stage1.block1"),
    ],
)
def test_names_the_first_element_that_differs(tmp_path, monkeypatch, rule, broken, element):
    monkeypatch.setattr(fold, rule, broken)
    with pytest.raises(VerificationFailed, match=rf"the first element that differs is {element} \(error"):
        run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_fault_in_the_last_block_and_in_the_head_is_found_there(tmp_path, monkeypatch):
    rule = fold.norm_shift_into_bias

    def wrong_for(rows):
        return lambda weight, bias, shift: bias if len(weight) == rows else rule(weight, bias, shift)

    monkeypatch.setattr(fold, "norm_shift_into_bias", wrong_for(SMALL.classes))
    with pytest.raises(VerificationFailed, match="differs is head "):
        run(tmp_path)
    monkeypatch.setattr(fold, "norm_shift_into_bias", wrong_for(3 * SMALL.stages[2].blocks[0].inner))
    with pytest.raises(VerificationFailed, match=r"differs is stage3\.block1 "):
        run(tmp_path, batch=BatchRange(3, 3))


def test_nan_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(fold, "stem_table", lambda position, token, bias: np.full_like(position, np.nan))
    with pytest.raises(VerificationFailed, match=r"error inf .* differs is stem \(error nan\)"):
        run(tmp_path)


def test_a_failed_graph_is_kept_on_request_under_another_name(tmp_path, monkeypatch):
    monkeypatch.setattr(fold, "norm_shift_into_bias", lambda weight, bias, shift: bias)
    for _ in range(2):  # the second replaces the first
        with pytest.raises(VerificationFailed):
            run(tmp_path, keep_failed=True)
        assert [path.name for path in tmp_path.iterdir()] == ["out.failed"]
    assert "UNVERIFIED" in open_artifact(failed_name(tmp_path / "out")).manifest.label


@pytest.mark.parametrize(
    ("batch", "wanted"),
    [((1, 64), (1, 2, 16)), ((1, 1), (1,)), ((4, 8), (4, 5, 8)), ((20, 20), (20,)), ((32, 64), (32, 33))],
)
def test_batches(batch, wanted):
    assert verify.batches_to_verify(BatchRange(*batch)) == wanted
