"""How a run goes, read from its folder."""

from __future__ import annotations

import json
import shutil

import pytest
from support.checks import refusal
from support.small_data import RECIPE, Stripes, alone, run

from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import claiming
from resnas_deploy.training.loop import train
from resnas_deploy.training.records import curves
from resnas_deploy.training.records.status import status_of
from resnas_deploy.training.subnet_accuracy import MEAN, WIDEST

RECIPES = RECIPE.override({"epochs": 3, "keep_every": 1, "keep": 1})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(run(folder, recipe=RECIPES), alone())
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy that a test may alter."""
    return shutil.copytree(trained, tmp_path / "run")


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run(trained):
    before = contents(trained)
    found = status_of(trained)
    assert (found.state, found.problem, found.epoch, found.epochs) == ("finished", "", 3, 3)
    assert (found.step, found.steps, found.seconds_left) == (9, 9, None)
    assert found.kept == ("checkpoints/best.safetensors", "checkpoints/epoch-3.safetensors", "checkpoint.safetensors")
    assert [line["epoch"] for line in found.curves] == [1, 2, 3]
    assert {"loss", "learning_rate", "images_per_second", "top1", WIDEST, MEAN} <= found.curves[0].keys()
    assert found.run.what == "supernet of the space little"
    assert (found.run.classes, found.run.train_images, found.run.validation_images) == (3, 24, 9)
    assert found.run.libraries.keys() >= {"resnas", "torch"}
    assert found.recipe["batch"] == 8
    assert contents(trained) == before


def test_a_run_is_running_while_it_holds_its_folder(folder):
    with claiming(folder, resume=True, remedy=""):
        assert [status_of(folder).state for _ in range(3)] == ["running"] * 3
        assert "must be of one run at a time" in refusal(lambda: claiming(folder, resume=True, remedy="").__enter__())
    assert status_of(folder).state == "finished"


def test_looking_does_not_keep_a_run_from_starting(folder):
    """The moment in which the lock is asked for is waited for."""
    import threading

    stop = threading.Event()

    def look():
        while not stop.is_set():
            status_of(folder)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(20):
            with claiming(folder, resume=True, remedy=""):
                pass
    finally:
        stop.set()
        thread.join()


def test_a_run_that_was_stopped_says_why(tmp_path):
    class Damaged(Stripes):
        def image(self, index):
            if index == 5:
                raise BadInput("number 5 cannot be read")
            return super().image(index)

    refusal(lambda: train(run(tmp_path, train=Damaged()), alone()))
    found = status_of(tmp_path)
    assert (found.state, found.problem) == ("stopped", "number 5 cannot be read; or give `skip_unreadable`")
    assert "stopped: number 5 cannot be read" in curves.summary(found, 0.0)[0]


def unfinished(folder):
    """Make it the folder of a run that was killed after its second epoch."""
    (folder / "checkpoint.safetensors").unlink()
    record = json.loads((folder / "run.json").read_text())
    del record["ended"]
    (folder / "run.json").write_text(json.dumps(record))
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:2]) + lines[2][:25])


def test_a_run_that_was_killed(folder):
    unfinished(folder)
    found = status_of(folder)
    assert (found.state, found.epoch, found.step, found.steps) == ("killed", 2, 6, 9)
    assert found.seconds_left > 0


@pytest.mark.parametrize("rest", [b'{"step": 7, "lo', b"\xff\n", b"[]\n", b'{"epoch": 3}\n', b'{"step": "x"}\n'])
def test_lines_that_are_none_are_passed_over(folder, rest):
    before = status_of(folder).curves
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(rest)
    assert status_of(folder).curves == before


def test_a_folder_of_an_older_version(folder):
    """Without times, subnets and what the run says of itself, and with keys of the recipe that are no more."""
    (folder / "run.json").unlink()
    (folder / "checkpoint.safetensors").unlink()
    old = [{"step": 4, "loss": 2.0}, {"step": 8, "loss": 1.0, "images_per_second": 50.0, "epoch": 1, "top1": 0.5}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    (folder / "recipe.toml").write_text("epochs = 3\nbatch = 8\nspeed = 3\nmasked = false\n")
    found = status_of(folder)
    assert (found.state, found.epoch, found.steps, found.run) == ("not finished", 1, 24, None)
    assert (found.images_per_second, found.seconds_left, found.updated) == (50.0, None, None)
    assert found.curves[0]["loss"] == 1.5
    assert curves.summary(found, 0.0)[0].endswith("not finished, epoch 1 of 3, step 8 of 24, 50 images/s")


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "recipe.toml").write_text("epochs = 1\n")  # one of the user's own
    (tmp_path / "file").write_text("x")
    for name, found in (("empty", "none of its files"), ("nowhere", "nothing there"), ("file", "a file")):
        said = refusal(lambda name=name: status_of(tmp_path / name))
        assert said == f"{tmp_path / name} must be the folder of a training run, found {found}; name its `out`"


def test_pace_and_time_left(folder):
    """Of whole epochs, with what comes at their ends: 3 steps of 2 s, and 4 s of evaluation."""
    unfinished(folder)
    times = [100.0, 102.0, 110.0, 112.0, 114.0, 120.0]
    start = json.loads((folder / "run.json").read_text())["started"]
    lines = [{"step": step, "time": start + time, "loss": 1.0} for step, time in enumerate(times, start=1)]
    for line in (lines[2], lines[5]):
        line |= {"epoch": line["step"] // 3, "top1": 0.5}
    early = {"step": 1, "time": start - 50, "loss": 9.0}  # of before it was started last
    text = "".join(json.dumps(line) + "\n" for line in (early, *lines))
    (folder / "metrics.jsonl").write_text(text)
    found = status_of(folder)
    assert found.seconds_left == pytest.approx(10.0)  # 3 steps at 10 s for 3
    assert found.images_per_second == pytest.approx(2.4)
    assert found.updated == start + 120
    assert "10 s still to train, last figures 60 s ago" in curves.summary(found, start + 180)[0]


def test_courses():
    assert curves.sparkline([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]) == "▁▂▃▄▅▆▇█"
    assert curves.sparkline([3.0, 3.0]) == "▁▁"
    assert curves.sparkline([]) == ""
    assert curves.sparkline([1.0, 2.0, 2.0, 3.0], width=2) == "▁█"
    assert len(curves.sparkline(list(range(1000)))) == 32
    head, row = curves.by_epoch([{"epoch": 1, "loss": 2.0, "top1": 0.5}])
    assert (head, row) == (("epoch", "loss", "top-1, validation"), ("1", "2.000", "50.00%"))


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_the_plot(trained, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"curves.{suffix}"
    curves.plot_status(status_of(trained), path)
    text = path.read_text()
    assert "<svg" in text
    assert ("<td>3</td>" in text) == (suffix == "html")
