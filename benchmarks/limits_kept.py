"""How many finalists of searches are measured within the limit on latency that the model found kept.

Run: .venv/bin/resnas train supernet --space demo --data demo --out WORK/supernet     (some minutes, once)
     .venv/bin/python benchmarks/limits_kept.py WORK                                  (again until all are done)
Each run ends after some minutes (`--seconds`) and goes on where the last one was: the profile, each search and its
measurements are kept in the folder WORK. 20 searches of the demo space with limits from 45% to 85% of the widest
subnet's latency and a confidence of 0.9; beside them 10 with a confidence of 0.5, where the bound is the prediction in
the middle of its errors, which was the rule before there were bounds.
A finalist's time is taken as measured, and at the profile's pace: over the anchor network's time in the same rounds.
Writes results/limits-kept.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from recording import write_result

import resnas_deploy as resnas
from resnas_deploy.searching.found import read_found
from resnas_deploy.searching.measured import MEASURED, read_measured
from resnas_deploy.weights.checkpoint import load, save

CONFIDENCE, BEFORE = 0.9, 0.5
SEARCHES = {CONFIDENCE: 20, BEFORE: 10}
IMAGES = 20  # of each class, that candidates are scored on
SHARES = (0.45, 0.85)  # of the widest subnet's latency
PROFILE = {"runner": "ort-cpu", "batch": 16, "threads": 1, "networks": 60}
FEW = {"iterations": 2, "first": 24, "children": 12, "parents": 8, "finalists": 5, "tries": 5}


def with_few_images(work):
    """Return the supernet's file with fewer held-out images: it is the finalists' time that is asked about."""
    path = work / "supernet.safetensors"
    if not path.exists():
        supernet = load(work / "supernet" / "checkpoint.safetensors")
        save(replace(supernet, task=replace(supernet.task, held_out=IMAGES)), path)
    return path


def planned():
    """Return the searches, those of both rules in turn, so that neither has the better hours."""
    found = []
    for confidence, count in SEARCHES.items():
        for number, share in enumerate(np.linspace(*SHARES, count)):
            found.append((number / count, confidence, number, float(share)))
    return [rest for _, *rest in sorted(found)]


def finalists(folder):
    """Return what a search's finalists were limited to, predicted at, and measured at, in milliseconds."""
    found = read_found(folder)
    measured = read_measured(folder / MEASURED, found)
    (limit,) = found.limits
    anchor = measured.by_digest[found.anchor.digest].percentile(50)
    return [
        {
            "limit_ms": limit.bound,
            "predicted_ms": item.costs[0],
            "bound_ms": item.highest[0],
            "measured_ms": measured.of(item).percentile(50),
            "anchor_now_over_then": anchor / found.anchor.ms,
            "kept": measured.share(found, item) <= 1,
        }
        for item in found.finalists
        if measured.of(item)
    ]


def summary(rows):
    """Return the shares of finalists that keep their limits, and how far measured is from predicted."""
    limits, times = np.array([[row["limit_ms"], row["measured_ms"]] for row in rows]).T
    pace = np.array([row["anchor_now_over_then"] for row in rows])
    predicted = np.array([row["predicted_ms"] for row in rows])
    return {
        "finalists": len(rows),
        "kept_as_measured": float(np.mean(times <= limits)),
        "kept_at_the_profiles_pace": float(np.mean(times / pace <= limits)),
        "kept_as_the_search_decides": float(np.mean([row["kept"] for row in rows])),
        "median_of_measured_over_predicted": float(np.median(times / predicted)),
        "the_same_at_the_profiles_pace": float(np.median(times / pace / predicted)),
    }


def main():
    """Search until the time is up, and write what there is by then."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--seconds", type=float, default=200)
    given, started = parser.parse_args(), time.monotonic()
    work = given.work
    supernet = with_few_images(work)
    model = resnas.latency.profile("demo", **PROFILE, store=work / "latency.sqlite")
    rows = {confidence: [] for confidence in SEARCHES}
    waiting = 0
    for confidence, number, share in planned():
        out = work / f"search-{confidence}-{number}"
        done = (out / MEASURED).exists()
        if not done and time.monotonic() - started > given.seconds:
            waiting += 1
            continue
        if not done:
            limit = share * model.predict([model.space.widest().arch]).ms.item()
            resnas.search(
                supernet,
                data="demo",
                out=out,
                max_latency_ms=limit,
                confidence=confidence,
                model=model,
                seed=number,
                resume=out.exists(),
                **FEW,
            )
        rows[confidence] += [{"search": number, **row} for row in finalists(out)]
    result = {
        "profile": {**PROFILE, "error": model.regression.mape, "spread": model.regression.spread},
        "searches_left": waiting,
        "by_confidence": {
            str(confidence): {"summary": summary(found), "finalists": found}
            for confidence, found in rows.items()
            if found
        },
    }
    write_result("limits-kept", result)
    print(json.dumps({key: value["summary"] for key, value in result["by_confidence"].items()}, indent=1))
    print(f"{waiting} searches are left: run it again" if waiting else "all searches are done")


if __name__ == "__main__":
    main()
