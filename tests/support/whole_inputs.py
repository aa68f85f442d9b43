"""One whole input of each kind, as the package itself writes it."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from support import bare_onnx, mini_space, small_data
from support import made_up_measuring as made_up
from support.engine_report import IDENTITY, LAYERS
from support.made_up_gate import history
from support.networks import SMALL
from support.release_files import DEFINITION, MINI

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.store import save_engine_report
from resnas_deploy.measuring.history.history import add_to_history
from resnas_deploy.measuring.latency.packed import packed
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.machine.roofline import Ceiling, read_ceilings, write_ceilings
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.training.recipe import read_recipe
from resnas_deploy.training.saved_state import TrainingState, save_state
from resnas_deploy.weights.space_text import space_text

STATE = {"network/a": torch.ones(5), "network/b": torch.zeros(2, 3), "adam/a/step": torch.ones(())}
SETTING = replace(mini_space.SETTING, machine="a-machine")


def write_seeds(root: Path, artifact: Path) -> Path:
    """A folder in `root` for each kind of input."""
    for name in ("network_def", "arch", "recipe", "space", "setting", "names", "engine", "state", "search", "store",
                 "packed", "report", "history", "ceilings", "repository", "zip", "legacy", "shards", "array", "metrics",
                 "options", "bare"):  # fmt: skip
        (root / name).mkdir()
    (root / "network_def" / "a.txt").write_text(DEFINITION)
    (root / "arch" / "a.json").write_text(json.dumps(SMALL.to_json()))
    (root / "recipe" / "a.toml").write_text(read_recipe("demo", "supernet").to_toml())
    (root / "space" / "a.toml").write_text(space_text(small_data.SPACE))
    (root / "setting" / "a.txt").write_text("epochs=3")
    (root / "names" / "a.txt").write_text("cat\ndog\nants and bees\n", encoding="utf-8")
    (root / "options" / "a.txt").write_text("[]")
    shutil.copytree(artifact, root / "artifact")
    bare_onnx.save(bare_onnx.network(), root / "bare" / "a.onnx", beside="a.data")
    (root / "engine" / "a.engine").write_bytes(b"an engine")
    save_engine_report(root / "engine" / "a.engine", {"identity": IDENTITY, "seconds": 1.5, "layers": LAYERS})
    save_state(TrainingState("a run", 3, STATE, {"scale": 2.0, "growth_factor": 2.0}), root / "state" / "a")
    rng = np.random.default_rng(0)
    with SearchStore(root / "search" / "a", "a search") as store:
        store.add(Candidate(small_data.SPACE.sample(rng), Score(3, 4), (1.0, 2.0), 0) for _ in range(5))
    with LatencyStore(root / "store" / "a") as store:
        archs = mini_space.drawn(mini_space.MINI, 60)
        store.add(SETTING, mini_space.MINI, "profile", 0, mini_space.measured(archs, mini_space.truth()))
        (root / "packed" / "a.json").write_bytes(packed(store.everything()[:1]))
    made_up.report(made_up.measurement(((0.1, 0.2), (0.3, 0.4), (0.2, 0.3)))).write(root / "report" / "a.json")
    for record in history([1.0, 1.2, 0.9]).records:
        add_to_history(root / "history" / "a.jsonl", record)
    made = Ceiling(made_up.MACHINE, "cpu", "fp32", 2, 1e12, "a product", 1e11, "a copy", {"numpy": "1"}, ())
    write_ceilings(root / "ceilings" / "a.json", (made,))
    assert read_ceilings(root / "ceilings" / "a.json") == (made,)
    _repository(root / "repository", artifact)
    shutil.copy(MINI, root / "zip" / "a.pth.tar")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch on its older format
        content = torch.load(MINI, map_location="cpu", weights_only=True)
        torch.save(content, root / "legacy" / "a.pth.tar", _use_new_zipfile_serialization=False)
    small_data.write_shards(root / "shards", shards=1, samples=3)
    np.save(root / "array" / "a.npy", np.zeros((4, 3, 8, 8), np.float32))
    lines = (json.dumps({"step": step, "loss": 1.5}) for step in range(20))
    (root / "metrics" / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return root


def _repository(folder: Path, artifact: Path) -> None:
    from resnas_deploy.serving.repository.contents import add_model
    from resnas_deploy.serving.repository.settings import ModelSettings

    add_model(folder, open_artifact(artifact), ModelSettings("mini"), ensemble=True)
