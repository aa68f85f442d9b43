"""The action's own steps, run by bash as a runner does, on a real artifact: summary, one comment, exit code, history.

What a runner gives to a step is documented: the variables at
https://docs.github.com/en/actions/reference/workflows-and-actions/variables, the files of outputs and summaries at
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands, the expressions (which are read
here as far as the action uses them) at
https://docs.github.com/en/actions/reference/workflows-and-actions/expressions; `shell: bash` is
`bash --noprofile --norc -eo pipefail`, https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from support.checks import check_schema
from support.documented.github import GitHub, serving
from support.places import EXAMPLE, ROOT
from support.workflow_files import ACTION

import resnas_deploy as resnas

EVENT = {"pull_request": {"number": 7, "head": {"sha": "1a2b3c" * 6}}}


class Runner:
    """A runner's machine, in a folder."""

    def __init__(self, folder, api, action=ACTION.parent):
        self.folder, self.api, self.place = folder, api, action
        (folder / "temp").mkdir()
        (folder / "event.json").write_text(json.dumps(EVENT))
        self.action = yaml.safe_load(ACTION.read_text())
        self.outputs = {}

    def run(self, **given):
        """Run the steps until one fails; return its code, and all that was printed."""
        inputs = {name: str(item.get("default", "")) for name, item in self.action["inputs"].items()}
        inputs |= {"token": self.api.token, "python": sys.executable, "install": "false"} | given
        self.outputs, said = {}, ""
        for step in self.action["runs"]["steps"]:
            if "if" in step and not self._value(step["if"], inputs):
                continue
            if "uses" in step:  # what it would keep
                assert set(step["with"]) == {"name", "path", "overwrite"}
                self.kept = self._filled(step["with"]["path"], inputs)
                continue
            code, text = self._step(step, inputs)
            said += text
            if code:
                return code, said
        return 0, said

    def _step(self, step, inputs):
        files = {name: self.folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GITHUB_ACTION_PATH": str(self.place),
            "GITHUB_API_URL": self.api.url,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "owner/networks",
            "GITHUB_RUN_ID": "42",
            "GITHUB_SHA": "f" * 40,  # the merge commit, which is nobody's
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
            **{name: str(path) for name, path in files.items()},
            **{name: self._filled(text, inputs) for name, text in step["env"].items()},
        }
        (self.folder / "step.sh").write_text(step["run"])
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", self.folder / "step.sh"]
        done = subprocess.run(
            words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=500, check=False
        )
        if "id" in step:
            self.outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
            self.summary = files["GITHUB_STEP_SUMMARY"].read_text()
        return done.returncode, done.stdout + done.stderr

    def _filled(self, text, inputs):
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: str(self._value(match[1], inputs)), str(text))

    def _value(self, expression, inputs):
        """The expressions of the action: literals, contexts, `==`, `&&` and `||` from the left, and `format`."""
        known = {
            "github.sha": "f" * 40,
            "github.ref_name": "7/merge",
            "github.head_ref": "faster",
            "github.event.pull_request": "an object",
            "github.event.pull_request.head.sha": EVENT["pull_request"]["head"]["sha"],
            "runner.temp": str(self.folder / "temp"),
            **{f"inputs.{name}": value for name, value in inputs.items()},
            **{f"steps.gate.outputs.{name}": value for name, value in self.outputs.items()},
        }
        for mark, chosen in (("||", bool), ("&&", lambda value: not value)):
            if mark in expression:
                found = (self._value(part.strip(), inputs) for part in expression.split(mark))
                last = ""
                for last in found:
                    if chosen(last):
                        break
                return last
        if "==" in expression:
            left, right = (self._value(part.strip(), inputs) for part in expression.split("=="))
            return left == right
        if call := re.fullmatch(r"format\('(.*)', (.*)\)", expression):
            return call[1].replace("{0}", self._value(call[2], inputs))
        return expression[1:-1] if expression.startswith("'") else known[expression]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with an artifact, and what it took here."""
    folder = tmp_path_factory.mktemp("made")
    artifact = resnas.export(checkpoint=EXAMPLE / "checkpoint.safetensors", out=folder / "art")
    resnas.bench(artifact, runners=["ort-cpu"], batches=[1, 4], runs=4, openings=2).save(folder / "measured.json")
    return folder


@pytest.fixture
def machine(made, tmp_path, monkeypatch):
    """A runner with an artifact, and a baseline that takes a thousand times as long."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "art", tmp_path / "art")
    shutil.copy(made / "measured.json", tmp_path)
    write(tmp_path, 1000)
    with serving(GitHub()) as api:
        yield Runner(tmp_path, api)


def write(folder, factor):
    """A baseline in which everything took so many times as long."""
    data = json.loads((folder / "measured.json").read_text())
    for item in data["measurements"]:
        item["samples_s"] = [[factor * second for second in opening] for opening in item["samples_s"]]
    (folder / "baseline.json").write_text(json.dumps(data))


@pytest.mark.slow
def test_twice_as_before_and_slower_and_then_what_cannot_be_measured(machine, tmp_path):
    given = {
        "baseline": "baseline.json",
        "artifacts": f"{tmp_path / 'art'}\n",
        "runs": "4",
        "openings": "2",
        "batches": "4",
        "runners": "ort-cpu",
        "history": "~/kept/history.jsonl",
    }
    code, said = machine.run(**given)
    assert code == 0, said
    assert machine.outputs["code"] == "0"
    assert machine.summary.startswith("### Latency: none of 1 slower\n")
    (comment,) = machine.api.comments
    assert comment["body"].startswith("<!-- resnas-gate: latency -->\n### Latency: none of 1 slower\n")
    assert machine.kept == machine.outputs["folder"]

    write(tmp_path, 1e-5)
    code, said = machine.run(**given)
    assert code == 4, said
    assert "1 of 1 must not be slower than in baseline.json" in said
    assert [each["body"].splitlines()[1].partition(",")[0] for each in machine.api.comments] == [
        "### Latency: 1 of 1 slower"
    ]
    folder = tmp_path / "temp" / "resnas-gate" / "latency" / "report"
    assert {path.name for path in folder.iterdir()} == {"gate.html", "gate.json", "history.jsonl", "summary.md"}
    check_schema("gate", json.loads((folder / "gate.json").read_text()))
    found = resnas.history(tmp_path / "kept" / "history.jsonl")
    assert [record.regressed for record in found.records] == [False, True]
    assert {(record.commit, record.branch) for record in found.records} == {
        (EVENT["pull_request"]["head"]["sha"], "faster")
    }

    code, said = machine.run(**given | {"baseline": "gone.json"})
    assert code == 2
    assert machine.summary.startswith("### Latency: not measured (exit code 2)\n\n    resnas: gone.json must be ")
    assert machine.api.comments[0]["body"].splitlines()[1] == "### Latency: not measured (exit code 2)"
    assert len(resnas.history(tmp_path / "kept" / "history.jsonl").records) == 2


@pytest.mark.slow
def test_a_network_is_exported_first(machine, tmp_path):
    checkpoint = str(EXAMPLE / "checkpoint.safetensors")
    given = {"baseline": "baseline.json", "checkpoint": checkpoint, "runs": "4", "openings": "2", "comment": "false"}
    code, said = machine.run(**given)
    assert code == 0, said
    assert machine.summary.startswith("### Latency: none of 2 slower\n")
    assert machine.api.asked == []
    code, said = machine.run(**given | {"precision": "int3"})
    assert code == 2
    assert "not measured (exit code 2)" in machine.summary


@pytest.mark.slow
@pytest.mark.parametrize("hostile", ["$(touch hacked) `touch hacked`", '"; touch hacked; "', "--help", "a\n::error::b"])
def test_what_people_give_is_never_a_command(tmp_path, hostile):
    """Each input is one word of `resnas`, whatever it holds."""
    with serving(GitHub()) as api:
        machine = Runner(tmp_path, api)
        exported = ("arch", "checkpoint", "precision")
        measured = ("baseline", "artifacts", "runners", "batches", "device", "threshold", "history")
        for names in (exported, measured, ("name",)):
            code, said = machine.run(**{"baseline": "none.json", "upload": "false"} | dict.fromkeys(names, hostile))
            assert code == 2, said
            assert not list(tmp_path.rglob("hacked"))
            assert "::error::b" not in said.splitlines()
            assert "Usage" not in said


@pytest.mark.slow
def test_the_version_of_the_action_is_installed_with_the_locks_versions(tmp_path):
    """In an environment of the job's own, from a copy, as GitHub makes one of the repository at the action's commit."""
    copy = tmp_path / "action"
    for name in ("resnas_deploy", "resnas-gate", "locks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    with serving(GitHub()) as api:
        machine = Runner(tmp_path, api, copy / "resnas-gate")
        given = {"install": "true", "extras": "cpu", "baseline": "none.json", "comment": "false", "upload": "false"}
        code, said = machine.run(**given)
    assert code == 2, said
    assert "none.json must be a readable file" in machine.summary
    python = tmp_path / "temp" / "resnas-gate-venv" / "bin" / "python"
    frozen = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, timeout=60, check=True)
    installed = dict(line.split("==") for line in frozen.stdout.splitlines() if "==" in line)
    locked = (ROOT / "locks" / "main.txt").read_text()
    assert "onnxruntime" in installed
    for name, version in installed.items():
        assert f"{name.lower().replace('_', '-')}=={version}" in locked
