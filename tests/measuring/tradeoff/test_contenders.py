"""Who takes part, with which accuracy, and whose that is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import refusal

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.manifest import Accuracy
from resnas_deploy.measuring.peer_specs import PEERS, title_of
from resnas_deploy.measuring.tradeoff.contenders import YOURS, contenders, read_top1
from resnas_deploy.measuring.tradeoff.measuring import bytes_open, cut

# facebookresearch/deit README_deit.md (79.9 for small's later weights), naver-ai/pit README.md, whai362/PVT README.md;
# Swin's are its paper's (arXiv 2103.14030, table 1), as surveys quote them too; ours arXiv 2109.00642, table 3.
PUBLISHED_TOP1 = {
    "tiny": 80.8, "small": 81.7, "medium": 82.4,
    "deit-tiny": 72.2, "deit-small": 79.8, "deit-base": 81.8,
    "pit-tiny": 73.0, "pit-xs": 78.1, "pit-small": 80.9, "pit-base": 82.0,
    "pvt-tiny": 75.1, "pvt-small": 79.8, "pvt-medium": 81.2, "pvt-large": 81.7,
    "swin-tiny": 81.3, "swin-small": 83.0,
}  # fmt: skip


def test_accuracies_are_the_published():
    found = contenders((), (), {})
    assert {each.name: each.top1 for each in found} == PUBLISHED_TOP1
    for each in found:
        assert each.top1_is == "published"
        assert "arXiv" in each.top1_from
        assert not each.trained
        assert each.image_size == 224
    assert {title_of(name) for name in PEERS} == {"DeiT", "PiT", "PVT", "Swin"}


def test_a_choice_and_its_order():
    assert [each.name for each in contenders(["pit-xs", "tiny", "pit-xs"], (), {})] == ["pit-xs", "tiny"]
    told = refusal(lambda: contenders(["pit-xs", "vgg"], (), {}))
    assert "`networks` must be of tiny, small, medium, deit-tiny, " in told
    assert "found 'vgg'" in told


def test_an_artifact_is_its_users(mini_artifact):
    artifact = open_artifact(mini_artifact)
    (unknown,) = contenders(["tiny"], [artifact], {})[1:]
    assert (unknown.name, unknown.family, unknown.top1, unknown.top1_is) == ("mini", YOURS, None, "unknown")
    assert unknown.source == str(mini_artifact)
    assert unknown.image_size == 112
    (given,) = contenders(["tiny"], [artifact], {"mini": 81.2})[1:]
    assert (given.top1, given.top1_is, given.top1_from) == (81.2, "given", "the user")
    accuracy = Accuracy("images", 500, 70.0, 69.5, 1.0)
    measured = replace(artifact.manifest, verification=replace(artifact.manifest.verification, accuracy=accuracy))
    (told,) = contenders(["tiny"], [replace(artifact, manifest=measured)], {})[1:]
    assert (told.top1, told.top1_is, told.top1_from) == (69.5, "measured", "its manifest: 500 images of images")


def test_two_artifacts_of_one_name_and_one_of_a_published_name(mini_artifact):
    artifact = open_artifact(mini_artifact)
    assert [each.name for each in contenders(["tiny"], [artifact, artifact], {})] == ["tiny", "mini", "mini (2)"]


@pytest.mark.parametrize("text", ["mini", "=5", "mini=", "mini=abc", "mini=-1", "mini=101", "mini=nan"])
def test_a_wrong_accuracy(text):
    assert "`top1` must be a name and per cent, such as mine=81.2" in refusal(lambda: read_top1([text]))


def test_accuracies_by_name(mini_artifact):
    assert read_top1(["a=b=5", "mine=81.25"]) == {"a=b": 5.0, "mine": 81.25}
    assert "found 'small'" in refusal(lambda: contenders((), (), {"small": 90.0}))  # whose figure is published
    told = refusal(lambda: contenders((), [open_artifact(mini_artifact)], {"mine": 90.0}))
    assert "the name in `top1` must be of mini, found 'mine'" in told


def test_groups_are_as_large_as_memory_allows():
    all_of_them = contenders((), (), {})
    names = [each.name for each in all_of_them]
    assert cut(all_of_them, "fp32", None) == [names]
    assert cut(all_of_them, "fp32", 10**12) == [names]
    assert cut(all_of_them, "fp32", 1) == [[name] for name in names]
    room = 4 * 10**9
    parts = cut(all_of_them, "fp32", room)
    assert 1 < len(parts) < len(names)
    assert [name for part in parts for name in part] == names
    by_name = {each.name: each for each in all_of_them}
    assert all(sum(bytes_open(by_name[name], "fp32") for name in part) <= 0.7 * room for part in parts)
    assert len(cut(all_of_them, "int8", room)) < len(parts)
