"""What each builder builds, and what it is asked for in vain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.little_engine import RTX, needs_builder

from resnas_deploy.engines.targets import TARGETS, parse_capabilities, target_named
from resnas_deploy.errors import BadInput, NotAvailable, shown
from resnas_deploy.runners.devices import dotted

DATA_CENTRE = TARGETS["tensorrt"]


def test_the_targets():
    assert list(TARGETS) == ["tensorrt-rtx", "tensorrt", "aoti", "ort-tensorrt", "openvino"]
    assert all(target_named(name).name == name for name in TARGETS)
    assert refusal(lambda: target_named("tvm")) == (
        "`target` must be one of tensorrt-rtx, tensorrt, aoti, ort-tensorrt, openvino, found 'tvm'"
    )


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_precision_is_built_and_no_other(target):
    lacking = {"aoti": 2, "ort-tensorrt": 2, "openvino": 1}.get(target.name, 0)
    known = ("fp32", "fp16", "bf16", "int8", "fp8")[: 5 - lacking]
    for precision in known:
        target.check(precision, ())
    assert f"must be one of {', '.join(known)}, found int4" in refusal(lambda: target.check("int4", ()))


@pytest.mark.parametrize(
    ("precision", "least"), [("fp32", "75"), ("fp16", "75"), ("bf16", "80"), ("int8", "75"), ("fp8", "89")]
)
def test_a_precision_needs_a_compute_capability(precision, least):
    for capability in RTX.capabilities:
        if int(capability) >= int(least):
            RTX.check(precision, (capability,))
        else:
            wanted = f"{precision} must be built for compute capability {dotted(least)} or above, found"
            assert f"{wanted} {dotted(capability)}" in refusal(lambda: RTX.check(precision, (capability,)))


def test_one_bad_capability_among_good_ones_is_refused():
    assert "found 8.6" in refusal(lambda: RTX.check("fp8", ("89", "86", "120")))


def test_unknown_capabilities():
    for capability in ("80", "90", "100", "103"):  # A100, H100 and H200, B200, B300
        line = refusal(lambda: RTX.check("fp16", (capability,)))
        wanted = f"must be portable (8.6, 8.9, 12.0) or among 7.5, 8.6, 8.9, 12.0, 12.1, found {dotted(capability)}"
        assert line.endswith(wanted)
    assert "takes no compute capability, found 8.9" in refusal(lambda: DATA_CENTRE.check("fp16", ("89",)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("portable", ()),
        ("8.9", ("89",)),
        ("12.0,8.9", ("89", "120")),
        ("sm89, SM_120", ("89", "120")),
        ("120,75,8.0", ("75", "80", "120")),
        ("8.9,89,sm89", ("89",)),
    ],
)
def test_the_forms_of_capabilities(text, wanted):
    assert parse_capabilities(text) == wanted


@pytest.mark.parametrize("text", ["", ",", "8", "8.9,", "portable,8.9", "ada", "8.9;12.0", "1234", "²³", "-8.9"])
def test_what_is_no_capability(text):
    said = refusal(lambda: parse_capabilities(text))
    assert f"must be portable or a list such as 8.9,12.0, found {shown(text)}" in said


@given(st.text())
def test_any_text_is_capabilities_or_refused(text):
    try:
        found = parse_capabilities(text)
    except BadInput:
        return
    assert list(found) == sorted(set(found), key=int)


@needs_builder
def test_the_builder_has_a_version():
    name, version = RTX.builder().split()
    assert name == "tensorrt_rtx"
    assert version.count(".") >= 2


@pytest.mark.skipif(not DATA_CENTRE.needs_gpu, reason="it is built anywhere")
def test_a_missing_builder_says_how_to_install_it():
    if __import__("importlib").util.find_spec("tensorrt"):
        pytest.skip("tensorrt is installed")
    with pytest.raises(NotAvailable, match=r"needs the package tensorrt.*pip install 'resnas\[tensorrt\]'"):
        DATA_CENTRE.builder()
