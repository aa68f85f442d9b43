"""`resnas.train`: what the commands of `resnas train` do, from Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from support.checks import refusal
from support.places import SEARCHED
from support.small_data import SPACE, write_folder
from support.training_commands import resnas as command

import resnas_deploy as resnas
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.weights.checkpoint import load
from resnas_deploy.weights.space_files import packaged_spaces

# Not masked = "auto", which depends on the hour: two runs would be of two recipes.
RECIPE = Recipe(epochs=2, batch=12, group=4, learning_rate=0.4, warm_up_epochs=0, ema=0.5, masked=False)


@pytest.fixture(autouse=True)
def little_space(monkeypatch):
    monkeypatch.setitem(packaged_spaces(), SPACE.name, SPACE)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images") / "data")


@pytest.fixture
def one_thread():
    """As the command has in another process: with more, sums are made in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_supernet_is_the_commands_own(data, tmp_path):
    """The same values give the same weights, document and files; and what no value is given for is the same."""
    told, kept = [], []
    trained = resnas.train.supernet(
        tmp_path / "a", data, space="little", recipe=RECIPE, progress=told.append, each_epoch=kept.append
    )
    (tmp_path / "recipe.toml").write_text(RECIPE.to_toml())
    options = ("--space", "little", "--recipe", tmp_path / "recipe.toml", "--data", data)
    document = json.loads(command("train", "supernet", *options, "--out", tmp_path / "b", "--json"))
    assert document == trained.to_json() | {"checkpoint": str(tmp_path / "b" / "checkpoint.safetensors")}
    assert trained.path.read_bytes() == (tmp_path / "b" / "checkpoint.safetensors").read_bytes()
    assert {path.name for path in (tmp_path / "a").iterdir()} == {path.name for path in (tmp_path / "b").iterdir()}
    epochs = dict.fromkeys(text.split(",")[0] for text in told if text.startswith("epoch "))
    assert list(epochs) == ["epoch 1 of 2", "epoch 2 of 2"]
    epochs = [line for line in kept if line.startswith("epoch ")]
    assert [line.split(",")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert any(re.match(r"memory: about \d MB a process \(", line) for line in kept)  # before the first epoch
    assert "top-1" in kept[-1]


@pytest.mark.slow
def test_a_network_from_scratch_then_on_and_its_accuracy(data, tmp_path):
    arch = SPACE.narrowest().arch
    first = resnas.train.subnet(tmp_path / "a", str(data), arch=arch, recipe=RECIPE, settings={"epochs": 1})
    assert (first.run.recipe.epochs, first.run.arch) == (1, arch)
    on = resnas.train.subnet(tmp_path / "b", data, checkpoint=first.path, recipe=RECIPE, settings=["epochs=1"])
    larger = resnas.train.finetune(tmp_path / "c", on.checkpoint, data, recipe=RECIPE, settings={"image_size": 24})
    assert larger.checkpoint.arch.image_size == 24
    assert len(load(larger.path).provenance.history) == 4  # trained, trained on, resized, fine-tuned
    by_file, in_memory = (resnas.evaluate(weights, data) for weights in (larger.path, larger.checkpoint))
    assert (by_file.top1, by_file.top5) == (in_memory.top1, in_memory.top5)
    assert (by_file.top1, by_file.top5) == (larger.accuracy.top1, larger.accuracy.top5)
    assert by_file.to_json() == json.loads(command("evaluate", larger.path, "--data", data, "--json"))


def test_how_a_run_went(data, tmp_path):
    resnas.train.subnet(tmp_path / "run", data, arch=SPACE.narrowest().arch, recipe=RECIPE)
    found = resnas.train.status(tmp_path / "run")
    assert (found.run.state, found.run.epoch) == ("finished", 2)
    assert "finished, epoch 2 of 2" in str(found)
    assert "<td>top-1, validation</td>" in found._repr_html_()
    found.plot(tmp_path / "curves.svg")
    assert "exists" in refusal(lambda: found.plot(tmp_path / "curves.svg"))
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_is_gone_on_with_only_where_that_is_asked_for(data, tmp_path):
    def run(**changes):
        return resnas.train.supernet(tmp_path / "run", data, space="little", recipe=RECIPE, **changes)

    before = run().path.read_bytes()
    assert refusal(run).endswith("exists; give `resume` to go on with it")
    assert run(resume=True).path.read_bytes() == before
    assert "must be of the same run" in refusal(lambda: run(resume=True, seed=1))


def test_images_that_cannot_be_read(tmp_path):
    data = write_folder(tmp_path / "data")
    (data / "train" / "red" / "0.png").write_bytes(b"broken")
    (data / "val" / "red" / "0.png").write_bytes(b"")

    def run(**changes):
        return resnas.train.supernet(tmp_path / "run", data, space="little", recipe=RECIPE, resume=True, **changes)

    assert refusal(run).endswith("; or give `skip_unreadable`")
    trained = run(skip_unreadable=True)
    assert "0.png' must be an image" in trained.skipped[0]
    found = resnas.evaluate(trained.path, data)
    assert (found.document.images, len(found.unreadable)) == (5, 1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda out: resnas.train.subnet(out, "demo"), "one of `arch` and `checkpoint`, found neither"),
        (lambda out: resnas.train.subnet(out, "demo", arch="small", checkpoint="x"), "found both"),
        (lambda out: resnas.train.supernet(out, "demo", space="huge"), "`space` must be one of tiny, small, demo"),
        (lambda out: resnas.train.supernet(out, "nowhere"), "`data` must be demo or a folder with train/ and val/"),
        (lambda out: resnas.train.supernet(out, "demo", device="tpu"), "`device` must be cpu, cuda or cuda:N"),
        (lambda out: resnas.train.supernet(out, "demo", settings={"speed": 1}), "the unknown key 'speed'"),
        (lambda out: resnas.train.supernet(out, "demo", settings={"epochs": "9"}), "epochs must be a whole number"),
    ],
)
def test_what_is_wrong_is_one_line_before_any_work(tmp_path, call, said):
    assert said in refusal(lambda: call(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_nothing_of_the_process_is_changed(data, tmp_path, monkeypatch):
    """Though PyTorch had more threads than there are cores, which training does not use."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(64)
    drawn = torch.random.get_rng_state()
    try:
        run = resnas.train.supernet(tmp_path / "run", data, space="little", recipe=RECIPE, settings={"epochs": 1})
        resnas.evaluate(run.checkpoint, data)
        assert torch.get_num_threads() == 64
        assert torch.equal(torch.random.get_rng_state(), drawn)
    finally:
        torch.set_num_threads(before)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else real(name, *rest)
import resnas_deploy as resnas
try:
    resnas.train.subnet("x", "demo", arch="small")
except ImportError as error:
    print(type(error).__name__, error.exit_code, error)
"""


def test_without_torch_the_package_is_named():
    environment = os.environ | {"PYTHONPATH": SEARCHED}
    program = [sys.executable, "-c", WITHOUT_TORCH]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == (
        "PackageMissing 5 training needs the package torch; install it with: pip install torch"
    ), done.stderr
