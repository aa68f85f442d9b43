"""Profiles, sizes, and the identity of an engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.little_engine import RTX

from resnas_deploy.artifact.artifact import MODEL
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.options import (
    COMPATIBILITY,
    UNUSUAL,
    BatchProfile,
    BuildOptions,
    engine_id,
    engine_identity,
    parse_bytes,
)
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.errors import BadInput


@pytest.mark.parametrize(("text", "wanted"), [("1:8:64", (1, 8, 64)), ("8", (8, 8, 8)), ("3:3:3", (3, 3, 3))])
def test_profiles(text, wanted):
    assert BatchProfile.parse(text) == BatchProfile(*wanted)
    assert BatchProfile.parse(str(BatchProfile(*wanted))) == BatchProfile(*wanted)


@pytest.mark.parametrize("text", ["", "1:8", "1:8:64:64", "a:b:c", "1:8:", "-1:8:64", "1 :8:64", "1.0", "٣", "9" * 10])
def test_what_is_no_profile(text):
    assert "a profile must be LEAST:USUAL:MOST, such as 1:8:64, or one batch size" in refusal(
        lambda: BatchProfile.parse(text)
    )


@pytest.mark.parametrize("text", ["0", "0:8:64", "8:1:64", "1:64:8", "64:8:1"])
def test_profiles_ascend(text):
    assert "must be 1 or more and ascend" in refusal(lambda: BatchProfile.parse(text))


@given(st.text("0123456789:", max_size=12))
def test_any_text_is_a_profile_or_refused(text):
    try:
        found = BatchProfile.parse(text)
    except BadInput:
        return
    assert 1 <= found.least <= found.usual <= found.most


@pytest.mark.parametrize(
    ("text", "wanted"), [("4GiB", 4 * 2**30), ("512 MiB", 2**29), ("1KiB", 1024), ("1000", 1000), ("1", 1)]
)
def test_sizes(text, wanted):
    assert parse_bytes(text) == wanted


@pytest.mark.parametrize("text", ["", "0", "0GiB", "4GB", "4 gib", "-1", "1.5GiB", "GiB", "9" * 15 + "GiB", "1" * 16])
def test_what_is_no_size(text):
    assert "such as 4GiB" in refusal(lambda: parse_bytes(text))


@pytest.mark.parametrize(
    ("batch", "wanted"), [("1:64", "1:64:64"), ("1:4", "1:4:4"), ("16:32", "16:32:32"), ("3", "3:3:3"), ("1", "1:1:1")]
)
def test_without_a_profile_there_is_one_of_the_whole_range(batch, wanted):
    found = BuildOptions().for_artifact(BatchRange.parse(batch))
    assert [str(profile) for profile in found.profiles] == [wanted]


def test_the_usual_batch_is_what_will_be_served():
    options = BuildOptions(optimum=32).for_artifact(BatchRange(1, 64))
    assert options == BuildOptions((BatchProfile(1, 32, 64),))
    assert "`optimum` must lie in the artifact's batch range 1:16, found 32" in refusal(
        lambda: BuildOptions(optimum=32).for_artifact(BatchRange(1, 16))
    )
    assert "found `profiles` too" in refusal(lambda: BuildOptions((BatchProfile(1, 1, 1),), optimum=1))


def test_a_profile_for_each_of_several_sizes():
    assert BatchProfile.parse_all("1, 8,1:16:64") == (
        *(BatchProfile(1, 1, 1), BatchProfile(8, 8, 8)),
        BatchProfile(1, 16, 64),
    )
    assert "or one batch size, found ''" in refusal(lambda: BatchProfile.parse_all("1,,8"))


def test_a_profile_that_is_named_twice_is_one():
    one, eight = BatchProfile(1, 1, 1), BatchProfile(8, 8, 8)
    assert BuildOptions((eight, one, eight, one)).for_artifact(BatchRange(1, 8)).profiles == (eight, one)


def test_profiles_must_lie_in_the_range_and_all_else_is_kept(tmp_path):
    options = BuildOptions((BatchProfile(1, 2, 3), BatchProfile(4, 4, 4)), ("89",), 5, True, tmp_path)
    assert options.for_artifact(BatchRange(1, 4)) == options
    for batch in (BatchRange(1, 3), BatchRange(2, 64)):
        assert f"batch range {batch}, found" in refusal(lambda: options.for_artifact(batch))


sizes = st.integers(1, 64)
profiles = st.lists(sizes, min_size=3, max_size=3).map(lambda found: BatchProfile(*sorted(found)))
options = st.builds(
    BuildOptions,
    st.lists(profiles, max_size=3).map(tuple),
    st.lists(st.sampled_from(RTX.capabilities), unique=True).map(lambda found: tuple(sorted(found, key=int))),
    st.none() | st.integers(1, 2**40),
    st.booleans(),
    refittable=st.booleans(),
    strip_weights=st.booleans(),
    hardware_compatibility=st.sampled_from(["", *COMPATIBILITY]),
    sparse_weights=st.booleans(),
    level=st.none() | st.integers(0, 5),
)
hashes = st.sampled_from(["a" * 64, "b" * 64, "0" * 64])
made_of = st.fixed_dictionaries(
    {
        "weights": hashes,
        "graph": hashes,
        "precision": st.sampled_from(["fp16", "int8"]),
        "classes": st.integers(1, 3),  # of the architecture
        "target": st.sampled_from(list(TARGETS.values())),
        "builder": st.sampled_from(["tensorrt_rtx 1.7.1", "tensorrt_rtx 1.7.2", "tensorrt 11.4"]),
        "device": st.sampled_from(["", "NVIDIA L4"]),
        "options": options,
    }
)


def id_of(artifact, parts):
    manifest = artifact.manifest
    manifest = replace(
        manifest,
        arch=replace(manifest.arch, classes=parts["classes"]),
        class_names=None,
        weights_sha256=parts["weights"],
        precision=parts["precision"],
        files=manifest.files | {MODEL: parts["graph"]},
    )
    made = replace(artifact, manifest=manifest)
    return engine_id(engine_identity(made, parts["target"], parts["builder"], parts["device"], parts["options"]))


@settings(max_examples=200)
@given(data=st.data())
def test_equal_parts_give_one_id_and_any_changed_part_another(little, data):
    parts = data.draw(made_of)
    same = parts | {"options": replace(parts["options"])}
    assert id_of(little, parts) == id_of(little, same)
    assert len(id_of(little, parts)) == 64
    other = data.draw(made_of)
    for name, value in other.items():
        if value != parts[name]:
            assert id_of(little, parts | {name: value}) != id_of(little, parts), name
    drawn = other["options"]
    for name in ("profiles", "capabilities", "workspace", "version_compatible", *UNUSUAL):
        changed = replace(parts["options"], **{name: getattr(drawn, name)})
        assert (id_of(little, parts | {"options": changed}) == id_of(little, parts)) == (changed == parts["options"])


def test_the_timing_cache_changes_no_id(little, tmp_path):
    usual = BuildOptions().for_artifact(little.batch)
    ids = {
        engine_id(engine_identity(little, RTX, "b 1", "", replace(usual, timing_cache=path)))
        for path in (None, tmp_path / "x")
    }
    assert len(ids) == 1


def test_what_is_not_asked_for_is_not_in_the_identity_so_that_old_engines_keep_their_names(little):
    """Written down when there were no such options."""
    usual = BuildOptions().for_artifact(little.batch)
    made = engine_identity(little, TARGETS["tensorrt"], "b 1", "", usual)
    assert set(made).isdisjoint(UNUSUAL)
    assert engine_id({**made, "arch": "", "weights": "", "graph": ""}) == (
        "cc86c5f6b97ecd1c90500ee1998bd65ba65333bf0fca256fb55908936cd62664"
    )
    zero = engine_identity(little, RTX, "b 1", "", replace(usual, level=0))
    assert zero["level"] == 0, "0 is a level, not none"
