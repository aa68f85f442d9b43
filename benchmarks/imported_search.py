"""What it takes to import a supernet of the reference's format and search it for three machines, by their profiles.

Run: .venv/bin/python benchmarks/imported_search.py; about four minutes.
The supernet is the golden one of the tests, in its space at 112 pixels. The machines are this one in three settings,
measured beforehand and carried in a file each. Each search looks for the whole front of accuracy against latency, by
500 candidates on 100 images, and ends with three finalists, verified.
Writes results/imported-search.json: seconds of the import, of taking in the profiles, and of each search.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from recording import write_result

import resnas_deploy as resnas
from resnas_deploy.measuring.latency.packed import pack
from resnas_deploy.measuring.latency.profile import NETWORKS, PROFILE, Profiler, subnets
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.weights.space_files import space_named

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
SPACE = GOLDEN / "spaces" / "mini.toml"
CLASSES, IMAGES = 10, 10  # of each class
SEARCH = {"first": 100, "children": 50, "iterations": 9, "finalists": 3, "tries": 3, "pareto": True}
MACHINES = {"one-thread": ("ort-cpu", 1), "two-threads": ("ort-cpu", 2), "openvino": ("openvino", 1)}


def write_images(folder):
    """Coarse patterns of random colours in folders of classes: what is right does not matter here."""
    for number in range(CLASSES * IMAGES):
        path = folder / f"class{number % CLASSES}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pattern = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pattern).resize((128, 128), Image.Resampling.NEAREST).save(path)


def profiled(folder, machine, runner, threads):
    """Measure this machine as if it were called so, and return the file that carries the profile."""
    space, setup = space_named(SPACE), choose_setup(runner, "fp32", 1, threads, "")
    store = folder / f"{machine}.sqlite"
    with LatencyStore(store) as opened:
        profiler = Profiler(opened, space, setup, replace(setup.setting(), machine=machine))
        for _ in profiler.measure(subnets(space, PROFILE, NETWORKS), PROFILE):
            pass
    pack(folder / f"{machine}.json", store)
    return folder / f"{machine}.json"


def main():
    """Measure and write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images")
        (folder / "classes.txt").write_text("".join(f"class{number}\n" for number in range(CLASSES)))
        files = {machine: profiled(folder, machine, *setting) for machine, setting in MACHINES.items()}
        print("profiled", flush=True)
        seconds, began = {}, time.monotonic()

        def step(what):
            seconds[what] = time.monotonic() - began - sum(seconds.values())
            print(f"{what}: {seconds[what]:.1f} s", flush=True)

        supernet, store = folder / "supernet.safetensors", folder / "server.sqlite"
        checkpoint = GOLDEN / "vit_search_supernet_mini.pth.tar"
        resnas.import_checkpoint(checkpoint, out=supernet, space=SPACE, classes=folder / "classes.txt")
        step("import")
        for file in files.values():
            resnas.latency.unpack(file, store=store)
        step("unpack")
        for machine in MACHINES:
            out = folder / f"found-{machine}"
            score_on = folder / "images"
            found = resnas.search(supernet, score_on=score_on, store=store, latency_of=machine, out=out, **SEARCH)
            assert found.machine == machine
            step(f"search for {machine}")
    write_result("imported-search", {"search": SEARCH, "images": CLASSES * IMAGES, "seconds": seconds})


if __name__ == "__main__":
    main()
