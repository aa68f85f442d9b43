"""A card says what the manifest says: no number of its own, and nothing that text from files could make of it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from support import made_up_measuring as made_up
from support.checks import refusal
from support.places import GOLDEN

import resnas_deploy as resnas
from resnas_deploy.arch import cost
from resnas_deploy.artifact.artifact import Artifact, open_artifact
from resnas_deploy.artifact.manifest import Accuracy, Manifest
from resnas_deploy.publishing.card import CardFacts, model_card
from resnas_deploy.weights.checkpoint import MeasuredAccuracy

HOSTILE = "a|b `x` <img src=x onerror=alert(1)> [l](http://x) **b** ${{ x }}\n# heading\n---\r\x1b[31m"
MEASURED = Accuracy("demo", 2000, 90.75, 90.85, 0.5)


@pytest.fixture(scope="module")
def artifact(mini_artifact):
    return open_artifact(mini_artifact)


def facts(artifact, **changes):
    return CardFacts(artifact, None, (), None, "") if not changes else replace(facts(artifact), **changes)


def changed(artifact, **changes):
    return Artifact(artifact.folder, replace(artifact.manifest, **changes), artifact.held)


def with_accuracy(artifact, accuracy=MEASURED):
    return changed(artifact, verification=replace(artifact.manifest.verification, accuracy=accuracy))


def test_the_hub_reads_the_front_matter(artifact):
    card = ModelCard(model_card(facts(with_accuracy(artifact), license="apache-2.0")))
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "image-classification"
    assert set(card.data.tags) == {"vit-resnas", "onnx", "fp32"}
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("demo", "accuracy", 90.85)


@pytest.mark.parametrize("accuracy", [None, replace(MEASURED, problem="it is no better than guessing")])
def test_an_accuracy_that_shows_nothing_is_no_result(artifact, accuracy):
    card = ModelCard(model_card(facts(with_accuracy(artifact, accuracy))))
    assert card.data.eval_results is None
    assert card.data.license is None


def test_random_weights_are_said_first(artifact):
    provenance = replace(artifact.manifest.provenance, trained=False)
    text = model_card(facts(changed(artifact, provenance=provenance)))
    assert "untrained" in ModelCard(text).data.tags
    assert text.index("the classes mean nothing") < text.index("## ")


@pytest.mark.parametrize("verification", [None, "failed"])
def test_what_was_not_verified_is_said_first(artifact, verification):
    failed = replace(artifact.manifest.verification, error=1.0)
    found = changed(artifact, verification=failed if verification else None)
    text = model_card(facts(found))
    assert text.index(found.manifest.doubt) < text.index("## ")


def numbers(text):
    return set(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?", text))


def test_every_number_is_of_the_manifest_the_architecture_or_a_files_size(artifact):
    text = model_card(facts(artifact)).partition("\n---\n")[2]
    manifest, arch = artifact.manifest, artifact.arch
    sizes = [artifact.file(name).stat().st_size for name in manifest.files]
    counts = [len(arch.stages), *(len(stage.blocks) for stage in arch.stages), len(manifest.class_names or ())]
    known = numbers(manifest.to_bytes().decode()) | {str(value) for value in counts}
    known |= {f"{value:,}" for value in (cost.macs(arch), cost.parameters(arch), *sizes)}
    known |= {f"{manifest.verification.error:.1e}", f"{manifest.verification.tolerance:g}"}
    side = arch.image_size
    known |= {f"{3 * side * side * 4:,}", "2109.00642", "0", "1", "32", "256", "3"}  # the paper; float32, sha256, 0..1
    assert numbers(text) - known == set()


def test_mixers_are_told_where_they_are_not_all_global(artifact):
    arch = artifact.arch
    assert "mixers" not in model_card(facts(artifact))
    first = arch.stages[0]
    mixers = ["window4", *["pooled1"] * (len(first.blocks) - 1)]  # a pool of one is global
    blocks = tuple(replace(block, mixer=name) for block, name in zip(first.blocks, mixers, strict=True))
    other = replace(arch, stages=(replace(first, blocks=blocks), *arch.stages[1:]))
    told = "; ".join(" ".join(["global"] * len(stage.blocks)) for stage in arch.stages).replace("global", "window4", 1)
    assert f"| mixers | {told} |" in model_card(facts(changed(artifact, arch=other)))


def test_what_training_measured(artifact):
    text = model_card(facts(artifact, trained_accuracy=MeasuredAccuracy("imagenet", 50000, 0.8173)))
    assert "81.73 % of 50000 images of imagenet" in text


@pytest.mark.parametrize("where", ["name", "class_names", "history", "data"])
def test_text_from_files_is_text(artifact, where):
    """It is read by a parser of Markdown: no heading, link, image or HTML of its making."""
    count = artifact.arch.classes
    provenance = replace(artifact.manifest.provenance, history=(HOSTILE,))
    found = {
        "name": lambda: changed(artifact, name=HOSTILE),
        "class_names": lambda: changed(artifact, class_names=(HOSTILE,) * count),
        "history": lambda: changed(artifact, provenance=provenance),
        "data": lambda: with_accuracy(artifact, replace(MEASURED, data=HOSTILE)),
    }[where]()
    text = model_card(facts(found))
    usual = model_card(facts(artifact))
    assert ModelCard(text).data.pipeline_tag == "image-classification"
    assert all(line.isprintable() for line in text.splitlines())

    def parts(card):
        tokens = MarkdownIt().enable("table").parse(ModelCard(card).text)
        inline = [child for token in tokens for child in token.children or ()]
        kinds = [token.type for token in (*tokens, *inline)]
        return {kind: kinds.count(kind) for kind in ("heading_open", "link_open", "image", "html_inline", "html_block")}

    assert parts(text) == parts(usual)
    assert "onerror" in ModelCard(text).text


@pytest.mark.parametrize("path", sorted((GOLDEN / "manifests").iterdir()), ids=lambda path: path.stem)
def test_of_every_earlier_manifest(path, artifact):
    manifest = Manifest.from_bytes(path.read_bytes())
    text = model_card(facts(Artifact(artifact.folder, replace(manifest, files=artifact.manifest.files), artifact.held)))
    assert manifest.precision in ModelCard(text).data.tags


def test_it_is_written_into_the_artifact_and_never_over_another(mini_artifact, tmp_path):
    folder = shutil.copytree(mini_artifact, tmp_path / "a")
    written = resnas.card(folder)
    assert written.path == folder / "README.md"
    assert written.path.read_text() == written.text
    assert resnas.open(folder).manifest.name == "mini"  # which is still whole
    assert "README.md exists" in refusal(lambda: resnas.card(folder))
    assert resnas.card(folder, force=True).text == written.text  # the same each time


def test_a_report_of_other_graphs_is_refused(mini_artifact, artifact, tmp_path):
    for name, digest in (("own", artifact.digest), ("other", "0" * 64)):
        made_up.report(made_up.measurement(digest=digest)).write(tmp_path / f"{name}.json")
    text = resnas.card(mini_artifact, out=tmp_path / "card.md", bench=tmp_path / "own.json").text
    assert "ort-cpu" in text.partition("## Speed")[2]
    assert "of other graphs" in refusal(
        lambda: resnas.card(mini_artifact, out=tmp_path / "b.md", bench=tmp_path / "other.json")
    )
    assert not (tmp_path / "b.md").exists()
