"""Nothing that packages of others would report to their makers is reported, and nothing of theirs is left in HOME."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest
from support.name_lookups import problem, recorded
from support.places import IMAGES, PACKAGE, SEARCHED, SUPPORT
from support.small_data import write_folder
from support.triton_server import PYTHON, needs_server

from resnas_deploy.processes.quiet import OFF, OFFLINE, import_quietly, turn_off

DEMO = PACKAGE.parent / "examples/demo/checkpoint.safetensors"
CAT = IMAGES / "cat.jpg"
REPORTING = {
    "huggingface_hub",
    "mlflow",
    "nncf",
    "onnxruntime",
    "openvino",
    "openvino_telemetry",
    "ray",
    "transformers",
    "wandb",
}
# It lies in repositories for servers that have nothing of resnas, and sets the variable itself.
BY_ITSELF = "serving/repository/models/network.py"
RESNAS = (sys.executable, "-m", "resnas_deploy")
OPENVINO = (
    sys.executable,
    "-c",
    "from resnas_deploy.processes.quiet import import_quietly; import_quietly('openvino')",
)
needs_namespaces = pytest.mark.usefixtures("namespaces")


@pytest.fixture(scope="module")
def namespaces():
    if why := problem():
        pytest.skip(why)


def imported(source):
    """The packages that a module imports anywhere, in whichever way the source says it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (part.value.partition(".")[0] for part in node.args if isinstance(part, ast.Constant))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_reports_is_imported_through_the_entrance(path):
    found = REPORTING & set(imported(path.read_text()))
    assert found == ({"onnxruntime"} if path == PACKAGE / BY_ITSELF else set())


def test_another_import_would_be_seen():
    source = (
        "def f():\n    import ray.util\n    from openvino import Core\n    importlib.import_module('onnxruntime')\n"
    )
    assert REPORTING & set(imported(source)) == {"ray", "openvino", "onnxruntime"}


@pytest.mark.parametrize("name", OFF)
@pytest.mark.parametrize(("before", "after"), [(None, OFF), ("", OFF), ("asked for", {})])
def test_the_user_has_the_last_word(name, before, after):
    environment = {} if before is None else {name: before}
    turn_off(environment)
    assert environment[name] == after.get(name, before)


def test_a_program_of_others_may_still_use_the_hub():
    environment = {}
    turn_off(environment)
    assert not set(environment) & set(OFFLINE)
    turn_off(environment, ours=True)
    assert environment.items() >= OFFLINE.items()


def test_the_switches_are_set_before_the_import(monkeypatch, tmp_path):
    (tmp_path / "looks_around.py").write_text(f"import os\nfound = [os.environ.get(name) for name in {list(OFF)}]\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in OFF:
        monkeypatch.delenv(name)
    assert import_quietly("looks_around").found == list(OFF.values())


def bare(home, **more):
    """An environment in which nobody said anything about reports, or that this is a build server."""
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": SEARCHED, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", **more}


def foreign(home):
    """What others left there. The fonts that matplotlib found, and a key to one's own Ray, tell nobody anything."""
    harmless = ("/matplotlib/", "/.ray/")
    found = [f"/{path.relative_to(home)}" for path in home.rglob("*") if path.is_file()]
    return [path for path in found if not any(part in path for part in harmless)]


def test_nothing_is_left_in_home(tmp_path, mini_artifact):
    home = tmp_path / "home"
    for arguments in (("runners",), ("predict", mini_artifact, CAT), ("verify", mini_artifact, "--runner", "openvino")):
        done = subprocess.run([*RESNAS, *arguments], env=bare(home), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert foreign(home) == []


@needs_namespaces
def test_what_would_be_recorded(tmp_path):
    """The recorder sees a name that is looked up, and a number that is called."""
    program = (
        "import socket\n"
        "try: socket.getaddrinfo('example.org', 80)\n"
        "except OSError: print('no name')\n"
        "try: socket.create_connection(('192.0.2.1', 80))\n"
        "except OSError: print('no way')\n"
    )
    found = recorded((sys.executable, "-c", program), tmp_path)
    assert found.out == "no name\nno way\n"
    assert set(found.names) == {"example.org"}
    assert found.unreachable > 0


def silent(command, folder, **environment):
    """Run a command, which must look nobody up, call nobody and leave nothing in HOME."""
    home = folder / "home"
    found = recorded(command, folder, env=bare(home, **environment))
    assert found.code == 0, found.err
    assert (found.names, found.unreachable, foreign(home)) == ([], 0, [])
    return found


@needs_namespaces
@pytest.mark.parametrize("arguments", [("archs",), ("runners",), ("predict", "ARTIFACT", CAT), ("inspect", "ARTIFACT")])
def test_quick_commands_call_nobody(tmp_path, mini_artifact, arguments):
    silent((*RESNAS, *(mini_artifact if part == "ARTIFACT" else part for part in arguments)), tmp_path)


MEASURED = ("--batch", "1", "--runs", "2", "--openings", "2", "--threads", "1")


@pytest.mark.slow
@needs_namespaces
@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "--checkpoint", "CHECKPOINT", "--out", "x"),
        ("export", "--checkpoint", "CHECKPOINT", "--out", "x", "--precision", "fp16", "--verify-on", "openvino"),
        ("export", "--checkpoint", "DEMO", "--out", "x", "--precision", "int8", "--unverified"),
        ("verify", "ARTIFACT", "--runner", "ort-cpu"),
        ("verify", "ARTIFACT", "--runner", "openvino"),
        ("bench", "ARTIFACT", "--runner", "ort-cpu", "--runner", "openvino", *MEASURED, "--plot", "x.svg"),
        ("predict", "ARTIFACT", CAT, "--runner", "torch-compile"),
        ("compare", "ARTIFACT", "ARTIFACT", "--runner", "ort-cpu", "--runs", "4", "--threads", "1"),
        ("triton", "export", "ARTIFACT", "--repository", "models", "--ensemble"),
    ],
    ids=lambda arguments: "-".join(map(str, arguments[::2])),
)
def test_longer_commands_call_nobody(tmp_path, mini_artifact, mini_checkpoint, arguments):
    names = {"ARTIFACT": mini_artifact, "CHECKPOINT": mini_checkpoint, "DEMO": DEMO}
    silent((*RESNAS, *(names.get(part, part) for part in arguments)), tmp_path)


PEER = """
from resnas_deploy.measuring.peers import open_peer
with open_peer("deit-tiny", "fp32") as peer:
    assert peer.model.is_file()
"""


@pytest.mark.slow
@needs_namespaces
def test_networks_to_compare_with_are_made_here(tmp_path):
    silent((sys.executable, "-c", PEER), tmp_path)


RECIPE = "epochs = 1\nbatch = 8\ngroup = 4\nlearning_rate = 0.1\ndrop_path = 0.0\nwarm_up_epochs = 0\nheld_out = 2\n"
FEW = ("--iterations", "1", "--first", "4", "--children", "2", "--parents", "2", "--finalists", "1", "--batch", "1")


@pytest.mark.slow
@needs_namespaces
def test_training_measuring_and_search_call_nobody(tmp_path):
    """Ray too, which starts a process for its statistics whether it may send any or not."""
    data = write_folder(tmp_path / "data")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    little = (sys.executable, SUPPORT / "small_data.py")
    space, store = ("--space", "little"), ("--runner", "ort-cpu", "--threads", "1", "--store", "latency.sqlite")
    silent((*little, "train", "supernet", *space, "--data", data, "--recipe", "recipe.toml", "--out", "run"), tmp_path)
    weights = tmp_path / "run" / "checkpoint.safetensors"
    silent((*little, "evaluate", weights, "--data", data), tmp_path)
    silent((*little, "latency", "profile", *space, *store), tmp_path)
    search = (*little, "search", "--supernet", weights, "--data", data, *store, *FEW, "--max-latency", "100%")
    silent((*search, "--out", "found"), tmp_path)
    silent((*search, "--workers", "ray", "--out", "found-by-ray"), tmp_path)


@needs_namespaces
@pytest.mark.parametrize(("consent", "sent"), [(None, False), ("0", False), ("1", True)])
def test_openvino_asks_who_opted_in(tmp_path, consent, sent):
    home = tmp_path / "home"
    if consent:
        (home / "intel").mkdir(parents=True)
        (home / "intel" / "openvino_telemetry").write_text(consent)
    found = recorded(OPENVINO, tmp_path, env=bare(home))
    assert found.code == 0, found.err
    assert ("www.google-analytics.com" in found.names) is sent


@needs_namespaces
def test_who_asks_for_reports_of_onnx_runtime_has_them(tmp_path):
    """And so an empty HOME elsewhere is no accident."""
    home = tmp_path / "home"
    program = "from resnas_deploy.processes.quiet import import_quietly; import_quietly('onnxruntime')"
    for value, made in (("1", False), ("0", True)):
        found = recorded((sys.executable, "-c", program), tmp_path, env=bare(home, ORT_DISABLE_TELEMETRY=value))
        assert found.code == 0, found.err
        assert bool(foreign(home)) is made


BACKEND = """
import json, sys, types
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")  # the server's own
sys.path.insert(0, sys.argv[1])
from model import TritonPythonModel
config = {
    "input": [{"name": "images"}], "output": [{"name": "logits"}],
    "parameters": {"intra_op_thread_count": {"string_value": "1"}},
}
model = TritonPythonModel()
place = {"model_instance_kind": "CPU", "model_repository": sys.argv[2], "model_version": ""}
model.initialize({"model_config": json.dumps(config), **place})
"""


def test_a_served_model_leaves_nothing_in_home(tmp_path, mini_artifact):
    """In another server's Python, where nothing of resnas is."""
    (tmp_path / "model.py").write_bytes((PACKAGE / BY_ITSELF).read_bytes())
    environment = bare(tmp_path / "home") | {"PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", BACKEND, tmp_path, mini_artifact], env=environment, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert foreign(tmp_path / "home") == []


@pytest.mark.slow
@needs_namespaces
@needs_server
def test_a_server_calls_nobody(tmp_path, mini_artifact):
    serving = (PYTHON, "-m", "resnas_deploy", "triton")
    silent((*serving, "export", mini_artifact, "--repository", "models", "--ensemble"), tmp_path)
    silent((*serving, "load", "models", "--model", "mini", "--seconds", "0.5", "--concurrency", "1"), tmp_path)
