"""Finds the engine that is to be run: the one that is named, or of those that an artifact holds one that fits.

The rule where none is named: an engine of this artifact, for this device, by this version of its builder, whose
profiles hold the batches that it will be given; where they are timed, a profile must be tuned for each. Of several the
one with the usual options comes first, then the one that is tuned nearest to the batches, then the one of the fewest
profiles, then the first by its ID.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnas_deploy.artifact.artifact import ENGINES, MANIFEST, Artifact, open_artifact
from resnas_deploy.artifact.onnx_file import OnnxFile, is_onnx_file, open_onnx
from resnas_deploy.batch import profile_for
from resnas_deploy.engines.identity import (
    check_has_weights,
    is_untuned,
    place_of,
    profiles_of,
    profiles_text,
    tf32_problem,
    weights_problem,
)
from resnas_deploy.engines.options import engine_id
from resnas_deploy.engines.store import (
    CONTEXT,
    SUFFIXES,
    Engine,
    find,
    hashed_files,
    open_engine,
    read_engine_report,
    report_path,
)
from resnas_deploy.engines.targets import OPENVINO, PORTABLE
from resnas_deploy.errors import BadInput, first_few, shown
from resnas_deploy.files.atomic import lexical
from resnas_deploy.runners.base import EngineFile
from resnas_deploy.runners.devices import PORTABLE_CAPABILITIES, dotted
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import runner_kind

SHORT = 8  # digits of an ID in tables: enough to name one of an artifact's engines
_BELONGS = {"arch": "architecture", "weights": "set of weights", "graph": "graph", "precision": "precision"}


@dataclass(frozen=True)
class Need:
    """What an engine is wanted for."""

    batches: tuple[int, ...] = ()  # sizes that it will be given; none: any that it takes
    tuned: bool = False  # whether they are timed: then a profile must be tuned for each of them


@dataclass(frozen=True)
class Listed:
    """An engine in an artifact, by its report; the file itself has not been hashed."""

    path: Path
    report: Mapping[str, Any] | None
    problem: str = ""  # why it has no report that can be read

    @property
    def short(self) -> str:
        """The beginning of its ID."""
        return self.path.stem[:SHORT]

    @property
    def made_of(self) -> Mapping[str, Any]:
        """Its identity; empty where it has no report."""
        found: Mapping[str, Any] = self.report["identity"] if self.report else {}
        return found

    def __str__(self) -> str:
        made = self.made_of
        return f"{self.short} ({made['target']}, {profiles_text(made)})" if made else f"{self.short} (damaged)"


def engines_in(artifact: Artifact) -> list[Listed]:
    """Return the engines that an artifact holds, by ID."""
    folder = artifact.folder / ENGINES
    there = folder.iterdir() if folder.is_dir() else ()
    paths = sorted(path for path in there if path.suffix in SUFFIXES and not path.name.startswith("."))
    return [_listed(path) for path in paths]


def is_engine(path: Path) -> bool:
    """Whether a path has the name of an engine; any graph ends in .onnx, so one must be where an artifact has its."""
    named = path.suffix in SUFFIXES and not path.is_dir()
    if not named or path.suffix != CONTEXT:
        return named
    folder = lexical(path).parent
    return folder.name == ENGINES and (folder.parent / MANIFEST).exists()


def open_source(source: str | Path | Artifact) -> tuple[Artifact, Engine | None]:
    """Open an artifact, or the artifact that an engine file lies in together with that engine.

    Raise `BadInput` for what is not whole, and for an engine of another artifact.
    """
    if isinstance(source, Artifact):
        return source, None
    path = Path(source)
    if not is_engine(path):
        return open_artifact(path), None
    inside = lexical(path)  # by its own name, wherever a link leads
    if inside.parent.name != ENGINES:
        raise BadInput(f"an engine must lie in its artifact ({ENGINES}/ID{path.suffix}), found {path}")
    artifact = open_artifact(inside.parents[1])
    return artifact, _of(artifact, open_engine(path))


AnyNetwork = str | Path | Artifact | OnnxFile  # what `open_network` takes


def open_network(source: AnyNetwork, engine: str | Path = "") -> tuple[Artifact | OnnxFile, Engine | None]:
    """Open a bare ONNX file, or what `open_subject` opens. Raise `BadInput` for an engine of a bare file."""
    if isinstance(source, Artifact):
        return open_subject(source, engine)
    if not isinstance(source, OnnxFile) and (not is_onnx_file(Path(source)) or is_engine(Path(source))):
        return open_subject(source, engine)
    if engine:
        name = source.path if isinstance(source, OnnxFile) else source
        raise BadInput(f"`engine` must be of an artifact, found the bare ONNX file {name}; leave it out")
    return open_onnx(source), None


def open_subject(source: str | Path | Artifact, engine: str | Path = "") -> tuple[Artifact, Engine | None]:
    """Open an artifact and the engine of it that is named, in either way. Raise `BadInput` for two that are named."""
    artifact, inside = open_source(source)
    if not engine:
        return artifact, inside
    found = named_engine(artifact, engine)
    if inside and inside.path.stem != found.path.stem:
        raise BadInput(f"one engine must be named, found {inside.path} and `engine` {found.path}; leave one out")
    return artifact, found


def runner_of(engine: EngineFile, runner: str = "") -> RunnerKind:
    """Return the runner that loads an engine. Raise `BadInput` where another one is named, or it lacks its weights."""
    check_has_weights(engine)
    target = engine.made_of["target"]
    if runner and runner_kind(runner, "`runner`").name != target:
        raise BadInput(f"`runner` must be {target}, which runs {engine.path}, found {runner}; leave it out")
    return runner_kind(target, f"the target of {engine.path}")


def named_engine(artifact: Artifact, name: str | Path) -> Engine:
    """Return the engine of an artifact that a file, or the beginning of an ID, names.

    Raise `BadInput` that lists what there is where it names none, or several, and for an engine of another artifact.
    """
    path, text = Path(name), str(name)
    if len(path.parts) > 1 or (path.suffix in SUFFIXES and path.exists()):
        return _of(artifact, open_engine(path))
    there = engines_in(artifact)
    found = [each for each in there if text and each.path.name.startswith(text)]
    exact = [each for each in found if text in (each.path.stem, each.path.name)]
    if len(exact or found) != 1:
        listed = first_few([str(each) for each in found or there])
        how = f"which {'begins several of them' if found else 'is none of them'}: {listed}"
        if not there:
            how = "and the artifact has none; build one by: `build()`"
        raise BadInput(
            f"`engine` must be a file, or the beginning of the ID of one engine of {artifact.folder}, "
            f"found {shown(text)}, {how}"
        )
    return _of(artifact, open_engine((exact or found)[0].path))


def check_belongs(engine: EngineFile, artifact: Artifact) -> None:
    """Raise `BadInput` where an engine is of another network than an artifact's."""
    if wrong := foreign_part(engine, artifact):
        raise BadInput(
            f"{engine.path} must be an engine of {artifact.folder}, found it built of another {wrong}; "
            "build one of this artifact by: `build()`"
        )


def foreign_part(engine: EngineFile, artifact: Artifact) -> str:
    """Return what of an artifact is another than that which an engine was built of; empty where nothing is."""
    parts = _parts(artifact)
    return next((word for key, word in _BELONGS.items() if engine.made_of.get(key) != parts[key]), "")


def choose(artifact: Artifact, usual: Mapping[str, Any], need: Need, here: str | None = None) -> Engine | None:
    """Return the engine that is to be run by the rule of this module, or None.

    `usual` is the identity of the one with the usual options here; `here` as of `unfit`.
    """
    fitting, usual_id = [], engine_id(usual)
    for each in engines_in(artifact):
        if not each.made_of or unfit(each.made_of, usual, here):
            continue
        used = [(batch, profile_for(profiles_of(each.made_of), batch)) for batch in need.batches]
        away = [0 if is_untuned(usual) or not found else abs(found.usual - batch) for batch, found in used]
        if all(found for _, found in used) and not (need.tuned and any(away)):
            rank = (each.path.stem != usual_id, sum(away), len(each.made_of["profiles"]), each.path.name)
            fitting.append((rank, each.path))
    return next(filter(None, (find(path) for _, path in sorted(fitting))), None)


def unfit(made_of: Mapping[str, Any], usual: Mapping[str, Any], here: str | None = None) -> str:
    """Say why an engine cannot be run in place of the one with the usual options here; empty where it can.

    `here` is the compute capability of the GPU, for a target that builds for some of them.
    """
    if made_of["target"] != usual["target"]:
        return f"it is for {made_of['target']}"
    for key, word in _BELONGS.items():
        if made_of[key] != usual[key]:
            return f"it was built of another {word}"
    compiled_here = made_of["target"] == OPENVINO  # whatever wrote it
    if made_of["builder"] != usual["builder"] and not compiled_here and not _runs_later(made_of, usual):
        return f"it was built by {made_of['builder']}, and {usual['builder']} is here"
    if made_of["device"] != usual["device"] and not made_of.get("hardware_compatibility"):
        return f"it is for {made_of['device']}, and {usual['device']} is here"
    if problem := weights_problem(made_of):
        return problem
    if problem := tf32_problem(made_of, tf32=usual.get("tf32")):
        return problem
    capabilities = made_of["capabilities"]
    known = list(map(dotted, PORTABLE_CAPABILITIES)) if capabilities == PORTABLE else capabilities
    if here and dotted(here) not in known:
        return f"it is for compute capability {place_of(made_of)}, and {dotted(here)} is here"
    if made_of.get("threads") != usual.get("threads"):
        return "its number of threads is that of where it was built; build it again"
    return ""


def _listed(path: Path) -> Listed:
    try:
        report = read_engine_report(report_path(path), path.suffix)
        if any(each.stat().st_size != report[f"{what}_bytes"] for each, what in hashed_files(path)):
            return Listed(path, None, "it was cut short or changed; build it again")
    except (BadInput, OSError) as error:
        return Listed(path, None, str(error))
    return Listed(path, report)


def _of(artifact: Artifact, engine: Engine) -> Engine:
    check_belongs(engine, artifact)
    return engine


def _parts(artifact: Artifact) -> Mapping[str, str]:
    manifest = artifact.manifest
    return {
        "arch": manifest.arch.fingerprint,
        "weights": manifest.weights_sha256,
        "graph": artifact.digest,
        "precision": manifest.precision,
    }


def _runs_later(made_of: Mapping[str, Any], usual: Mapping[str, Any]) -> bool:
    """Whether an engine was built to run on later versions too, and a later one of the same generation is here."""
    if not made_of["version_compatible"]:
        return False
    (name, built), (here_name, here) = (str(each["builder"]).rsplit(" ", 1) for each in (made_of, usual))
    return name == here_name and built.split(".")[0] == here.split(".")[0] and _numbers(built) <= _numbers(here)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]
