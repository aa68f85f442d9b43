"""Kernels counted by the builder of RTX engines, for GPUs that are not here."""

from __future__ import annotations

import importlib.util

import pytest
from support.shaped_spaces import little

import resnas_deploy as resnas
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.shaping.counted import Builder

needs_builder = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is missing")
HEADS = little(heads=(2, 1))
# 50 tokens: fewer are several kernels, whatever the head_dim.
HEAD_DIMS = SearchSpace(
    "head-dims",
    (StageSpace((32,), (2,), (64, 48, 32), (64,), 1), StageSpace((64,), (2,), (32,), (64,), 1)),
    classes=3,
    image_size=112,
    stem_mid_widths=(32,),
)


@needs_builder
@pytest.mark.slow
@pytest.mark.parametrize(("attention", "left"), [("quantised", (64, 32)), ("kept", (64, 48, 32))])
def test_a_head_size_that_costs_a_kernel_more_goes_and_stays_where_it_does_not(tmp_path, attention, left):
    """In int8 TensorRT for RTX 1.7.1 makes a kernel more of attention with heads of 48 channels (docs/spaces.md)."""
    found = resnas.space.shape(
        HEAD_DIMS, target="tensorrt-rtx", precision="int8", attention=attention, batch=8, store=tmp_path / "s.sqlite"
    )
    assert found.space.stages[0].head_dims == left
    assert "no time was measured" in found.notes[0]
    assert found.setting is None
    assert found.counted.precision == "int8"


@needs_builder
def test_what_was_counted_is_not_built_again(tmp_path, monkeypatch):
    asked = {"target": "tensorrt-rtx", "precision": "fp16", "capability": "8.9", "store": tmp_path / "s.sqlite"}
    first = resnas.space.shape(HEADS, **asked)
    assert first.measured_now == 2
    monkeypatch.setattr(Builder, "count", lambda *_: pytest.fail("it was built again"))
    again = resnas.space.shape(HEADS, **asked)
    assert again.dimensions == first.dimensions
    stopped = resnas.space.shape(HEADS, **asked | {"precision": "bf16"}, minutes=0)
    assert not stopped.complete
    assert stopped.space.stages == HEADS.stages


@needs_builder
def test_ctrl_c_keeps_what_was_counted(tmp_path, monkeypatch):
    count = Builder.count
    calls = []

    def interrupted(self, arch, progress):
        calls.append(arch)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return count(self, arch, progress)

    monkeypatch.setattr(Builder, "count", interrupted)
    asked = {"target": "tensorrt-rtx", "precision": "fp16", "capability": "8.9", "store": tmp_path / "s.sqlite"}
    assert resnas.space.shape(HEADS, **asked).interrupted
    assert resnas.space.shape(HEADS, **asked).measured_now == 1


@needs_builder
def test_a_file_that_is_none_of_counts(tmp_path):
    (tmp_path / "s.kernels.jsonl").write_text('{"kernels": "many"}\n')
    with pytest.raises(resnas.BadInput, match=r"s\.kernels\.jsonl must hold counts of kernels"):
        resnas.space.shape(HEADS, target="tensorrt-rtx", precision="fp16", store=tmp_path / "s.sqlite")
