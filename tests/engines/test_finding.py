"""Which engine is run: the one that is named, or one that fits. Real engines, built here; none of them is opened."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from support.checks import refusal
from support.little_engine import RTX, built, exported, needs_builder

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.finding import Need, engines_in, named_engine, open_source, open_subject, runner_of, unfit
from resnas_deploy.engines.identity import check_holds, unusual_options
from resnas_deploy.engines.opening import open_runner, why_not_here
from resnas_deploy.engines.options import BatchProfile
from resnas_deploy.measuring.plan import Effort, subjects_for
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import gpus
from resnas_deploy.runners.registry import RUNNERS

pytestmark = needs_builder
OPTIONS = Options(threads=1)
KIND = replace(  # of a machine with a GPU; what it is opened with is all that it tells
    RUNNERS["tensorrt-rtx"], device_problem=lambda _device: None, open_network=lambda network, options: options
)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """An artifact with engines of its whole range, of sizes 1 and 8, and of 1 to 4. No test may change it."""
    artifact = exported(tmp_path_factory.mktemp("several") / "little")
    engines = {
        "usual": built(artifact),
        "each": built(artifact, profiles=BatchProfile.parse_all("1,8")),
        "to 4": built(artifact, profiles=(BatchProfile(1, 2, 4),)),
    }
    return artifact, {name: each.engine for name, each in engines.items()}


def chosen(artifact, *batches, tuned=False):
    return open_runner(KIND, artifact, OPTIONS, need=Need(batches, tuned)).engine


@pytest.mark.parametrize(
    ("batches", "tuned", "wanted"),
    [
        ((), False, "usual"),
        ((1, 3, 8), False, "usual"),
        ((8,), True, "usual"),
        ((1, 8), True, "each"),
        ((2,), True, "to 4"),
    ],
)
def test_what_fits_is_found_before_anything_is_built(several, batches, tuned, wanted):
    artifact, engines = several
    assert chosen(artifact, *batches, tuned=tuned) == engines[wanted]
    assert len(engines_in(artifact)) == 3


def test_without_the_usual_one_the_nearest_is_taken(several, tmp_path):
    artifact, engines = several
    copy = open_artifact(shutil.copytree(artifact.folder, tmp_path / "copy"))
    (copy.folder / "engines" / engines["usual"].path.name).unlink()
    assert chosen(copy, 2).path.stem == engines["to 4"].path.stem
    assert chosen(copy, 1, 8).path.stem == engines["each"].path.stem


def test_a_time_is_of_an_engine_that_is_tuned_for_its_batch(artifact):
    found = chosen(artifact, 4, 1, tuned=True)
    assert found.made_of["profiles"] == ["1:1:1", "4:4:4"]
    assert chosen(artifact, 1, tuned=True) == found


def test_one_is_named_by_the_beginning_of_its_id_or_by_its_file(several, monkeypatch):
    artifact, engines = several
    wanted = engines["each"]
    for name in (wanted.path.stem[:8], wanted.path.stem, wanted.path.name, wanted.path):
        assert named_engine(artifact, name) == wanted
    opened, engine = open_source(wanted.path)
    assert (opened, engine) == (artifact, wanted)
    monkeypatch.chdir(wanted.path.parent)
    assert open_source(wanted.path.name)[1].path.name == wanted.path.name
    line = refusal(lambda: open_subject(wanted.path, engines["to 4"].path.stem))
    assert "one engine must be named" in line


def test_what_names_none_lists_what_there_is(several, artifact):
    held, engines = several
    line = refusal(lambda: named_engine(held, "xyz"))
    assert "found 'xyz', which is none of them: " in line
    assert all(engine.path.stem[:8] in line for engine in engines.values())
    assert "(tensorrt-rtx, 1:1:1 8:8:8)" in line
    assert "the artifact has none; build one by" in refusal(lambda: named_engine(artifact, "xyz"))


def test_an_engine_of_another_network_is_refused(several, tmp_path):
    _, engines = several
    other = exported(tmp_path / "other", seed=1)
    line = refusal(lambda: named_engine(other, engines["usual"].path))
    assert f"must be an engine of {other.folder}, found it built of another set of weights" in line
    moved = other.folder / "engines"
    moved.mkdir()
    for path in engines["usual"].path.parent.iterdir():
        shutil.copy(path, moved)
    assert "another set of weights" in refusal(lambda: open_source(moved / engines["usual"].path.name))
    assert not chosen_without_building(other)
    lost = shutil.copy(engines["usual"].path, tmp_path)
    assert "must lie in its artifact" in refusal(lambda: open_source(lost))


def chosen_without_building(artifact):
    from resnas_deploy.engines.build import identity_here
    from resnas_deploy.engines.finding import choose
    from resnas_deploy.engines.opening import _for_runner

    return choose(artifact, identity_here(artifact, RTX, _for_runner(KIND, OPTIONS)), Need())


def test_the_runner_follows_from_the_engine(several):
    artifact, engines = several
    assert runner_of(engines["each"]).name == "tensorrt-rtx"
    line = refusal(lambda: runner_of(engines["each"], "ort-cpu"))
    assert line.startswith("`runner` must be tensorrt-rtx, which runs ")
    line = refusal(lambda: open_runner(RUNNERS["torch"], artifact, replace(OPTIONS, engine=engines["each"])))
    assert "`runner` must be tensorrt-rtx" in line


def test_batches_must_lie_in_the_profiles_of_the_one_that_is_named(several):
    artifact, engines = several
    check_holds(engines["each"], (1, 8))
    assert "a profile of it, 1:1:1 8:8:8, found 3" in refusal(lambda: check_holds(engines["each"], (8, 3)))
    assert "found 3" in refusal(
        lambda: open_runner(KIND, artifact, replace(OPTIONS, engine=engines["each"]), need=Need((3,)))
    )


def test_two_engines_are_measured_beside_one_run_of_each_other_runner(several):
    artifact, engines = several
    pair = [(artifact, engines["each"]), (artifact, engines["to 4"])]
    alone = subjects_for(pair, ())
    assert [(item.kind.name, item.engine) for item in alone] == [
        ("tensorrt-rtx", engines["each"]),
        ("tensorrt-rtx", engines["to 4"]),
    ]
    beside = subjects_for(pair, ("tensorrt-rtx", "torch"))
    assert sorted((item.kind.name, bool(item.engine)) for item in beside) == [
        ("tensorrt-rtx", True),
        ("tensorrt-rtx", True),
        ("torch", False),
    ]
    assert "`runner` must be tensorrt-rtx" in refusal(lambda: subjects_for(pair, ("torch",)))
    if not gpus():
        with pytest.raises(Exception, match="no NVIDIA GPU was found here"):
            Effort().plan(alone)


def test_why_one_cannot_run_here(several):
    artifact, engines = several
    made = json.loads(json.dumps(dict(engines["usual"].made_of)))
    if not gpus():
        assert why_not_here(artifact, made) == "no NVIDIA GPU was found here"
    assert unfit(made, made) == ""
    assert unfit(made, made, "89") == ""
    assert unfit(made, made, "75") == "it is for compute capability portable, and 7.5 is here"
    assert "it was built by tensorrt_rtx 0.1" in unfit(made | {"builder": "tensorrt_rtx 0.1"}, made)
    assert "it was built of another graph" in unfit(made | {"graph": "0" * 64}, made)
    assert "it is for NVIDIA L4, and" in unfit(made | {"device": "NVIDIA L4"}, made | {"device": "NVIDIA H200"})
    later = {"builder": "tensorrt 10.15", "version_compatible": True}
    assert unfit(made | later, made | {"builder": "tensorrt 10.16"}) == ""
    assert unfit(made | later, made | {"builder": "tensorrt 11.0"}) != ""
    assert unfit(made | {"strip_weights": True}, made) == "it was built without its weights; put them in by `refit()`"
    assert "before TF32 could be switched off" in unfit(made, made | {"tf32": False})
    assert unusual_options(made) == ""
    assert unusual_options(made | {"level": 5, "capabilities": ["8.9"]}) == "capabilities 8.9, level 5"
