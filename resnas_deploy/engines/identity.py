"""What an engine's identity says of it: the batches that it takes, where it runs, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnas_deploy.batch import profile_for
from resnas_deploy.engines.options import BatchProfile
from resnas_deploy.engines.targets import FOR_CPUS, PORTABLE
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.runners.base import EngineFile

_USUAL_PARTS = {  # of an identity, which every engine has or which something else tells
    *("schema", "arch", "weights", "graph", "precision", "target", "builder"),
    *("device", "threads", "profiles", "user_allocation"),
}
_USUAL_VALUES = (None, False, "", PORTABLE)


def is_untuned(made_of: Mapping[str, Any]) -> bool:
    """Whether an engine has no profiles, but takes its whole range alike: a package of AOTInductor, and IR."""
    return made_of["target"] in FOR_CPUS


def profiles_of(made_of: Mapping[str, Any]) -> tuple[BatchProfile, ...]:
    """Return the profiles of an engine's identity."""
    return tuple(BatchProfile.parse(text) for text in made_of["profiles"])


def first_profile(made_of: Mapping[str, Any]) -> BatchProfile:
    """Return the first profile, which is the only one that Triton uses. Raise `BadInput` where there is none."""
    profiles = made_of.get("profiles")
    if not (isinstance(profiles, list) and profiles and isinstance(profiles[0], str)):
        raise BadInput(f"an engine's report must name its profiles, found {shown(profiles)}; build it again")
    return BatchProfile.parse(profiles[0])


def profiles_text(made_of: Mapping[str, Any]) -> str:
    """Return the profiles for a table; a package, or IR, has none, and takes a range."""
    if not is_untuned(made_of):
        return " ".join(made_of["profiles"])
    (profile,) = profiles_of(made_of)
    return str(profile.least) if profile.least == profile.most else f"{profile.least} to {profile.most}"


def smallest_batch(engine: EngineFile) -> int:
    """Return the smallest batch that an engine takes."""
    return min(profile.least for profile in profiles_of(engine.made_of))


def nearest_batch(engine: EngineFile, size: int) -> int:
    """Return the batch that an engine takes which is nearest to `size`."""
    nearest = (max(profile.least, min(profile.most, size)) for profile in profiles_of(engine.made_of))
    return min(nearest, key=lambda batch: (abs(batch - size), batch))


def check_holds(engine: EngineFile, batches: Sequence[int]) -> None:
    """Raise `BadInput` that lists an engine's profiles where a batch lies in none of them."""
    profiles = profiles_of(engine.made_of)
    if beyond := [batch for batch in batches if profile_for(profiles, batch) is None]:
        raise BadInput(
            f"a batch for {engine.path} must lie in a profile of it, {profiles_text(engine.made_of)}, "
            f"found {beyond[0]}; give other sizes, or build an engine with another of `profiles`"
        )


def place_of(made_of: Mapping[str, Any]) -> str:
    """Return the device, or the compute capabilities, that an engine is for."""
    found = made_of["capabilities"]
    return str(made_of["device"]) or (found if isinstance(found, str) else ", ".join(found))


def unusual_options(made_of: Mapping[str, Any]) -> str:
    """Return what an engine was built with beside the usual, but for its profiles and its device: `level 5, tf32`."""
    unusual = {key: value for key, value in made_of.items() if key not in _USUAL_PARTS and value not in _USUAL_VALUES}
    said = {key: " ".join(value) if isinstance(value, list | tuple) else value for key, value in unusual.items()}
    return ", ".join(key.replace("_", " ") + ("" if value is True else f" {value}") for key, value in said.items())


def weights_problem(made_of: Mapping[str, Any]) -> str:
    """Say that an engine lacks its weights, which a refit puts in; empty where it has them."""
    return "it was built without its weights; put them in by `refit()`" if made_of.get("strip_weights") else ""


def check_has_weights(engine: EngineFile) -> None:
    """Raise `BadInput` for an engine that was built without its weights, and has not been refitted since."""
    if problem := weights_problem(engine.made_of):
        raise BadInput(f"{engine.path} must have its weights to be run, found that {problem}")


def tf32_problem(made_of: Mapping[str, Any], *, tf32: bool | None) -> str:
    """Say why an engine does not round float32 as it is asked to; None asks nothing, of what has no float32."""
    if tf32 is None or made_of.get("tf32") == tf32:
        return ""
    if "tf32" not in made_of:
        return "it was built before TF32 could be switched off; build it again"
    return "it rounds float32 to TF32" if made_of["tf32"] else "it does not round float32 to TF32"
