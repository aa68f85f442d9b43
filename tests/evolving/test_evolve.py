"""A real evolution of a small space: what it writes, that it trains, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from support.places import ROOT, SEARCHED
from support.seen_page import Seen
from support.small_data import SPACE
from support.small_search import write_given

import resnas_deploy as resnas
from resnas_deploy.arch.cost import macs
from resnas_deploy.evolving.candidates import within_limits
from resnas_deploy.evolving.training import begun, recipe_of
from resnas_deploy.searching.costs import CostLimit, CostLimits, macs_cost
from resnas_deploy.weights.checkpoint import load
from resnas_deploy.weights.space_files import space_file

PROGRAM = """
import json, os, signal, sys
import resnas_deploy as resnas
asked, last_words = json.loads(sys.argv[1]), sys.argv[2]
def told(text):
    if last_words and last_words in text:
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    resnas.space.evolve(**asked, progress=told)
"""


def validate(name, document):
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    Draft202012Validator(schema).validate(document)


@pytest.fixture(scope="module")
def evolved(given, tmp_path_factory):
    said = list[str]()
    found = resnas.space.evolve(
        **given, out=tmp_path_factory.mktemp("evolved") / "out", progress=said.append, each_epoch=said.append
    )
    return found, said


@pytest.mark.slow
def test_an_evolution(given, evolved):
    found, said = evolved
    out, (first, last) = found.out, found.evolution.rounds
    assert first.space.is_like(SPACE)
    moved = [move for move in first.moves if move.moved]
    assert moved
    assert not any(move.moved for move in last.moves)
    assert found.space != first.space
    assert space_file(out / "space.toml") == found.space == last.space
    checkpoint = load(out / "checkpoint.safetensors")
    assert checkpoint.space == found.space
    assert checkpoint.task.held_out == 20
    assert checkpoint.digest == found.checkpoint.digest == last.supernet != first.supernet
    assert "carried over into the space little-evolved" in " ".join(checkpoint.provenance.history)
    assert macs(found.space.widest().arch) <= 1.5 * macs(SPACE.widest().arch)
    assert any("round 1 of 1, scoring" in text for text in said)
    assert any("round 1 of 1, epoch 1 of 1" in text for text in said)

    document = json.loads((out / "evolved.json").read_text())
    assert document == found.to_json()
    validate("space-evolve", document)
    text = "\n".join(Seen((out / "report.html").read_text()).texts)
    for move in moved:
        assert str(move.effect.dimension) in text
        assert " ".join(map(str, move.after)) in text
    assert f"Round 1: {len(moved)} range" in text
    assert {row[1] for row in found.table().rows} == {str(move.effect.dimension) for move in moved}


@pytest.mark.slow
def test_a_killed_one_goes_on_to_the_same(given, evolved, tmp_path):
    asked = {name: value if isinstance(value, int) else str(value) for name, value in given.items()}
    asked |= {"out": str(tmp_path / "cut"), "resume": True}

    def evolving(last_words):
        command = [sys.executable, "-c", PROGRAM, json.dumps(asked), last_words]
        environment = os.environ | {"PYTHONPATH": SEARCHED}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)

    for last_words in ("scoring 35 of 60", "1 of 1, loss", "at the end, scoring 20 of"):
        assert evolving(last_words).returncode == -signal.SIGKILL
    done = evolving("")
    assert done.returncode == 0, done.stderr
    whole, cut = evolved[0].out, tmp_path / "cut"
    assert (cut / "evolved.json").read_bytes() == (whole / "evolved.json").read_bytes()
    assert load(cut / "checkpoint.safetensors").digest == load(whole / "checkpoint.safetensors").digest
    with pytest.raises(resnas.BadInput, match="must be of the same search"):
        resnas.space.evolve(**given | {"subnets": 61}, out=cut, resume=True)


@pytest.mark.slow
def test_it_stops_where_nothing_moves(tmp_path):
    """A supernet that knows nothing, on six images."""
    found = resnas.space.evolve(**write_given(tmp_path), out=tmp_path / "out", max_macs="90%", subnets=30, rounds=3)
    assert found.evolution.settled
    assert len(found.evolution.rounds) == 1
    assert found.space == SPACE
    assert load(tmp_path / "out" / "checkpoint.safetensors").digest == found.evolution.supernet
    assert not found.table().rows


def test_the_supernet_begins_with_what_it_knew(given):
    """As the training's network holds it, and as fresh as training begins what is new."""
    before = load(given["supernet"])
    stage = replace(SPACE.stages[2], widths=(18, 16), heads=(3, 2), blocks=3, droppable=(2, 3))
    space = replace(before.space, stages=(*before.space.stages[:2], stage))
    found = begun(before, space, seed=0, number=1)
    assert found.digest == begun(before, space, seed=0, number=1).digest
    assert found.digest != begun(before, space, seed=0, number=2).digest
    name = "stage3.block1.mlp.fc1.weight"
    np.testing.assert_array_equal(found.tensors[name][:, :16], before.tensors[name])
    new = found.tensors["stage3.block3.mlp.fc1.weight"]
    assert 0.01 < new.std() < 0.03
    assert not found.tensors["stage3.block3.mlp.fc1.bias"].any()
    assert (found.tensors["stage3.block3.norm1.weight"] == 1).all()
    assert "patch_head.weight" in found.tensors


def test_its_training_is_shorter_and_keeps_the_held_out_images(given):
    supernet = load(given["supernet"])
    recipe = recipe_of(supernet, SPACE, "demo", "demo", ("held_out=3", "batch=32"), None)
    assert (recipe.epochs, recipe.held_out, recipe.opening_epochs, recipe.batch) == (1, 20, 0, 32)
    assert recipe_of(supernet, SPACE, "demo", "demo", (), 4).epochs == 4


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0], ids=str)
def test_subnets_are_within_the_limits_and_anywhere_below(share):
    low, high = macs(SPACE.narrowest().arch), macs(SPACE.widest().arch)
    limits = CostLimits((CostLimit(macs_cost(), (low + share * (high - low)) / 1e9),))
    found = within_limits(SPACE, limits, 100, np.random.default_rng(0))
    assert len(set(found)) == 100
    shares = limits.highest(found)
    assert shares.max() <= 1
    assert shares.max() > 0.9
    assert np.ptp(shares) > 0.1


def test_a_small_space_gives_what_it_has():
    stages = tuple(replace(stage, heads=(1,), hidden=(8,), droppable=()) for stage in SPACE.stages)
    assert len(within_limits(replace(SPACE, stages=stages), CostLimits(()), 100, np.random.default_rng(0))) == 8


WRONG = {
    "no limit": ({"max_macs": ""}, "no limit given: the widest choice .* `max_macs` or `max_latency`"),
    "a limit that none meets": ({"max_macs": "1"}, "must have subnets with MACs of at most"),
    "too few subnets": ({"subnets": 20}, "`subnets` must be 27 or more for the 12 choices of the space little"),
    "other data": ({"data": "demo"}, "class"),
    "no recipe": ({"recipe": "none"}, "a recipe must be demo|a recipe must be tiny"),
    "no setting": ({"settings": ["nothing=1"]}, "unknown key 'nothing'"),
    "no device": ({"eval_device": "tpu"}, "`eval_device` must be"),
    "no rounds": ({"rounds": 0}, "`rounds` must be from 1 to 20, found 0"),
    "shrinking": ({"most_growth": 0.5}, "`most_growth` must be from 1"),
    "images of one's own alone": ({"held_out": 3}, "`held_out` must be a number of images of each class"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_before_any_work(given, tmp_path, change, message):
    with pytest.raises(resnas.BadInput, match=message) as told:
        resnas.space.evolve(**given | change, out=tmp_path / "out")
    assert "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(given, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(resnas.BadInput, match="give `resume` to go on"):
        resnas.space.evolve(**given, out=tmp_path)


def test_a_network_is_no_supernet(given, tmp_path):
    network = resnas.demo(tmp_path / "demo").checkpoint
    with pytest.raises(resnas.BadInput, match="must be a supernet that has its search space in it"):
        resnas.space.evolve(**given | {"supernet": network, "data": "demo"}, out=tmp_path / "out")


def test_a_plan(given, tmp_path):
    found = resnas.space.evolve(**given | {"rounds": 3, "epochs": 2}, out=tmp_path / "out", plan=True)
    document = found.to_json()
    validate("space-evolve-plan", document)
    assert (document["images"], document["images_trained"]) == (60, 3 * 2 * 60)
    assert document["scoring_s"] == pytest.approx(4 * 60 * 60 / document["images_per_s"])
    assert not list(tmp_path.iterdir())
