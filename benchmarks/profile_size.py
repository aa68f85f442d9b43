"""How the latency model's error depends on how many networks it is fitted on.

Run: .venv/bin/python benchmarks/profile_size.py
It measures nothing: the 50 networks of each results/latency-model-*.json, which `resnas latency check` measured twice
on an idle machine, are split at random again and again into those that a model is fitted on and those that it must
predict.
Writes results/profile-size.json: mean absolute relative errors, beside that of the profile of 120 networks.
"""

from __future__ import annotations

import json

import numpy as np
from recording import RESULTS, write_result

from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.profile import CHECK, PROFILE, subnets
from resnas_deploy.measuring.latency.regression import regress
from resnas_deploy.weights.space_files import packaged_spaces

SIZES = (25, 40, 45)
SPLITS = 200


def errors(content):
    """Return the mean error by the number of networks that a fit has seen."""
    space, (of_profile, of_check) = packaged_spaces()[content["space"]], (content["profiled"], len(content["networks"]))
    profiled = subnets(space, PROFILE, of_profile)
    known = {arch.fingerprint: arch for arch in subnets(space, CHECK, of_check, profiled)}
    terms = Terms(3).of([known[fingerprint] for fingerprint in content["networks"]])
    measured, rng = np.array(content["measured_ms"]), np.random.default_rng(0)
    found = {size: [] for size in SIZES}
    for _ in range(SPLITS):
        order = rng.permutation(of_check)
        for size in SIZES:
            fitted, others = order[:size], order[size:]
            predicted = terms[others] @ regress(terms[fitted], measured[fitted])
            found[size].append(np.mean(np.abs(predicted / measured[others] - 1)))
    return {size: float(np.mean(values)) for size, values in found.items()}


def main():
    """Write the errors of every setting."""
    result, machine = {}, {}
    for path in sorted(RESULTS.glob("latency-model-*.json")):
        content = json.loads(path.read_text())
        machine = content["machine"]  # one and the same of all
        of_120 = next(item["mape"] for item in content["accuracies"] if item["predictor"] == "latency model")
        setting, found = path.stem.removeprefix("latency-model-"), errors(content) | {content["profiled"]: of_120}
        result[setting] = found
        print(setting, {size: f"{error:.2%}" for size, error in found.items()})
    write_result("profile-size", {"machine": machine, "splits": SPLITS, "error_by_networks": result})


if __name__ == "__main__":
    main()
