"""Who is told a run's figures beside metrics.jsonl: nobody, unless asked for."""

from __future__ import annotations

import logging
import sys
import types

import pytest
from support.checks import refusal
from support.small_data import RECIPE, alone, run

from resnas_deploy.errors import PackageMissing, ResnasError
from resnas_deploy.training.loop import train
from resnas_deploy.training.records import tracking
from resnas_deploy.training.records.metrics import Metrics
from resnas_deploy.training.records.tracking import TrackedRun, Trackers, check_trackers

SHORT = RECIPE.override({"epochs": 2})


def started(name, folder, first_step=0):
    return Trackers([name], TrackedRun(folder, {"epochs": 2, "data": "demo"}, first_step))


def test_an_unknown_one_and_one_that_is_not_installed(monkeypatch):
    assert "`track` must be one of tensorboard, mlflow, wandb, found 'comet'" in refusal(
        lambda: check_trackers(["comet"])
    )
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PackageMissing, match="tracking by mlflow needs its package; install it with: pip install mlf"):
        check_trackers(["mlflow"])


def test_nobody_is_told_unless_asked_for(tmp_path):
    """That no client is imported either is seen in test_loop, in a process of its own."""
    train(run(tmp_path, recipe=RECIPE.override({"epochs": 1})), alone())
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint.safetensors",
        "checkpoints",
        "metrics.jsonl",
        "recipe.toml",
        "run.json",
        "state.safetensors",
    }


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(run(tmp_path, recipe=SHORT, track=("tensorboard",)), alone())
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [scalar.step for scalar in events.Scalars("top1")] == [3, 6]
    assert {"loss", "learning_rate", "widest_top1"} <= set(events.Tags()["scalars"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of its own packages
def test_mlflow(tmp_path, monkeypatch):
    """By its own client, into files. A run that goes on stays the same run."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = tmp_path / "cotton"
    folder.mkdir()
    trackers = started("mlflow", folder)
    trackers.add(10, {"loss": 0.5})
    trackers.close(finished=False)
    trackers = started("mlflow", folder, 10)
    trackers.add(20, {"loss": 0.25})
    trackers.close(finished=True)
    client = mlflow.MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("resnas").experiment_id])
    assert (found.info.run_name, found.info.status) == ("cotton", "FINISHED")
    assert found.data.params == {"epochs": "2", "data": "demo"}
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(10, 0.5), (20, 0.25)]


class Wandb(types.ModuleType):
    """What the client of Weights & Biases does, as docs.wandb.ai/models/ref/python/functions/init and ../login say.

    `login(prompt=False)` tells whether there are credentials, and never asks; `init` returns a run with `log(data,
    step)` and `finish(exit_code)`. The real client is too large to be installed for a test.
    """

    def __init__(self, credentials):
        super().__init__("wandb")
        self.credentials, self.started, self.logged, self.finished = credentials, [], [], []
        self.Settings = dict

    def login(self, prompt=True):
        assert not prompt
        return self.credentials

    def init(self, **options):
        self.started.append(options)
        return types.SimpleNamespace(
            log=lambda data, step: self.logged.append((step, data)),
            finish=lambda exit_code: self.finished.append(exit_code),
        )


@pytest.fixture
def wandb(monkeypatch):
    def made(credentials):
        found = Wandb(credentials)
        monkeypatch.setitem(sys.modules, "wandb", found)
        return found

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return made


def test_wandb(tmp_path, wandb, caplog):
    found = wandb(credentials=False)
    for first, step in ((0, 10), (10, 20)):
        with caplog.at_level(logging.INFO):
            trackers = started("wandb", tmp_path, first)
        trackers.add(step, {"loss": 0.5})
        trackers.close(finished=step == 20)
    one, again = found.started
    assert (one["mode"], one["dir"], one["project"], one["resume"]) == ("offline", str(tmp_path), "resnas", "allow")
    assert one["id"] == again["id"]
    assert one["config"] == {"epochs": 2, "data": "demo"}
    assert found.logged == [(10, {"loss": 0.5}), (20, {"loss": 0.5})]
    assert found.finished == [1, 0]
    assert "nobody is logged in to wandb" in caplog.text


def test_wandb_goes_where_the_user_has_said(tmp_path, wandb, monkeypatch):
    found = wandb(credentials=True)
    started("wandb", tmp_path).close(finished=True)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    found.credentials = False
    started("wandb", tmp_path).close(finished=True)
    assert [options["mode"] for options in found.started] == [None, None]  # which leaves it to the client


class Failing:
    def __init__(self, run):
        self.told = []

    def add(self, step, figures):
        self.told.append(step)
        raise ConnectionError("no such host")

    def close(self, finished):
        raise ConnectionError("still none")


def test_one_that_fails_on_the_way_is_left_out_and_the_run_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tracking, "_OPENED", {"mlflow": Failing})
    with caplog.at_level(logging.INFO):
        trained = train(run(tmp_path, recipe=SHORT, track=("mlflow",)), alone())
    assert trained.path.exists()
    assert caplog.text.count("mlflow is told no more figures of this run, since it failed: no such host") == 1
    assert "still none" not in caplog.text


def test_one_that_does_not_start_is_one_line(tmp_path, monkeypatch):
    def refusing(run):
        raise RuntimeError("no such\nserver")

    monkeypatch.setattr(tracking, "_OPENED", {"mlflow": refusing})
    assert "`track` mlflow must be ready to be told, found: no such server" in refusal(
        lambda: train(run(tmp_path, track=("mlflow",)), alone())
    )


def test_those_that_started_are_closed_where_another_does_not_start(tmp_path, monkeypatch):
    closed = []

    class First:
        def __init__(self, run):
            pass

        def close(self, finished):
            closed.append(finished)

    def missing(run):
        raise PackageMissing("tracking needs its package", "pip install it")

    monkeypatch.setattr(tracking, "_OPENED", {"tensorboard": First, "mlflow": missing})
    with pytest.raises(PackageMissing):
        Trackers(["tensorboard", "mlflow"], TrackedRun(tmp_path, {}, 0))
    assert closed == [False]


def test_they_are_closed_where_the_figures_cannot_be_written(tmp_path):
    closed = []
    trackers = types.SimpleNamespace(close=lambda finished: closed.append(finished))
    with pytest.raises(ResnasError):
        Metrics(tmp_path / "nowhere", 0, trackers)
    assert closed == [False]
