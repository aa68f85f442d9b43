"""The loader against that of before: images a second of one core, and what validation holds in flight.

Run: .venv/bin/python benchmarks/loader.py --before FOLDER, a checkout of the commit before, which child processes
import by PYTHONPATH. Writes results/loader.json; about three minutes, on an idle machine.

JPEGs of 500 x 375 pixels (quality 90, of the package's photographs, enlarged, with grain: some 65 kB a file) become
batches of 224-pixel crops by the recipe `tiny` of each side, RandAugment and all. What a core does is measured in a
process that is bound to a core (`workers` 0), by its CPU time: decoding, crop, RandAugment, stacking.
The aims: 190 images/s a core, and 5.5 times as many as before. Then the same by two workers, by the clock. Rounds
alternate between both sides, each in a new process.

In flight: validation in batches of the recipe `small` (before: the batch of all processes, float32; now
`evaluation_batch`, uint8) by two workers, when the first batch has come and nobody asks for more: the memory (PSS) of
the process and its workers, less what they take with batches of one image.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

CLASSES, IMAGES = 4, 40  # of each class, in both splits
SIDE, BATCH = 224, 64
ROUNDS, SECONDS = 4, 6.0
WORKERS = 2
HELD_BATCHES = 4  # workers x 2: as many as were on their way before
SETTLE_S = 12.0
AIM_RATIO, AIM_RATE = 5.5, 190.0


def write_images(root: Path) -> float:
    """Write a folder of class folders and return the mean size of a file, bytes."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    samples = sorted((files("resnas_deploy.images") / "assets" / "samples").glob("*.jpg"))
    photographs = [Image.open(path).convert("RGB") for path in samples]
    sizes = []
    for split in ("train", "val"):
        for label in range(CLASSES):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(IMAGES):
                whole = photographs[number % len(photographs)]
                width = min(whole.width, whole.height * 4 / 3) * rng.uniform(0.7, 1)
                left, top = rng.uniform(0, 1, 2) * (whole.width - width, whole.height - width * 3 / 4)
                box = (left, top, left + width, top + width * 3 / 4)
                pixels = np.asarray(whole.resize((500, 375), Image.Resampling.LANCZOS, box=box))
                grained = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).round().astype(np.uint8)
                path = folder / f"{number:03}.jpg"
                Image.fromarray(grained).save(path, quality=90)
                sizes.append(path.stat().st_size)
    return sum(sizes) / len(sizes)


def batches_module() -> Any:
    """Return this checkout's module of batches, which had another home before."""
    try:
        return importlib.import_module("resnas_deploy.training.input.batches")
    except ModuleNotFoundError:
        return importlib.import_module("resnas_deploy.training.batches")


def training(data: str, workers: int) -> dict[str, float]:
    """Return images a second of this checkout's training batches."""
    from dataclasses import replace

    from resnas_deploy.data.source import open_data
    from resnas_deploy.training.recipe import read_recipe

    if not workers:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    recipe = replace(read_recipe("tiny", "subnet"), batch=BATCH, group=BATCH, epochs=100_000, held_out=0)
    batches = batches_module().training_batches(open_data(data).train, recipe, SIDE, 0, workers=workers)
    for _ in range(8 if workers else 1):  # what was made ahead while nobody counted is not counted
        next(batches)
    images, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < SECONDS:
        images += len(next(batches).labels)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    batches.close()
    return {"images": images, "wall_s": wall, "cpu_s": cpu}


def in_flight(data: str) -> dict[str, float]:
    """Return the bytes that validation has in flight in this checkout, and a batch's images."""
    import torch

    from resnas_deploy.data.labelled import ImageSubset
    from resnas_deploy.data.source import open_data
    from resnas_deploy.images.preprocessing import Preprocessing
    from resnas_deploy.training.distributed import Share
    from resnas_deploy.training.recipe import read_recipe

    torch.set_num_threads(1)
    module, recipe, val = batches_module(), read_recipe("small", "subnet"), open_data(data).val
    choose = getattr(module, "evaluation_batch", None)
    batch = choose(recipe, Share(0, 8)) if choose else recipe.batch
    import numpy as np

    def held(batch: int) -> int:
        images = ImageSubset(val, np.resize(np.arange(len(val.labels)), 1 + HELD_BATCHES * recipe.batch))
        found = module.evaluation_batches(images, Preprocessing(SIDE, 256), batch, workers=WORKERS)
        first = next(found)
        before = -1
        while (now := memory()) > before + 1_000_000:  # until nothing more comes
            before = now
            time.sleep(SETTLE_S if batch > 1 else 1)
        found.close()
        del first
        return now

    base = held(1)
    return {"batch": batch, "bytes": held(batch) - base}


def memory() -> int:
    """Return the memory of this process and those it started, bytes: what is shared is shared out."""
    family = {os.getpid()}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == os.getpid():
                family.add(int(entry.name))
    found = 0
    for number in family:
        for line in Path(f"/proc/{number}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                found += 1024 * int(line.split()[1])
    return found


def measured(checkout: Path, *what: str) -> dict[str, float]:
    """Measure in a process that imports a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, "--child", *what], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(checkout.name, *what[1:], found, flush=True)
    return found


def main() -> None:
    """Measure both sides and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    checkouts = {"before": parser.parse_args().before.resolve(), "now": Path(__file__).parents[1]}
    from recording import ratio, write_result

    core: dict[str, list[float]] = {"before": [], "now": []}
    workers: dict[str, list[float]] = {"before": [], "now": []}
    with tempfile.TemporaryDirectory() as folder:
        size = write_images(Path(folder))
        for number in range(ROUNDS):
            for side in ("before", "now") if number % 2 == 0 else ("now", "before"):
                found = measured(checkouts[side], folder, "0")
                core[side].append(found["images"] / found["cpu_s"])
                if number < 2:
                    found = measured(checkouts[side], folder, str(WORKERS))
                    workers[side].append(found["images"] / found["wall_s"])
        flight = {side: measured(checkouts[side], folder, "flight") for side in checkouts}
    faster = ratio(core["now"], core["before"])
    now = sorted(core["now"])[len(core["now"]) // 2]
    write_result(
        "loader",
        {
            "images": "500 x 375 JPEG, quality 90, to 224-pixel crops by the recipe tiny",
            "mean_file_bytes": size,
            "images_per_second_of_a_core": core,
            "now_over_before": faster,
            "workers": WORKERS,
            "images_per_second_of_the_workers": workers,
            "workers_now_over_before": ratio(workers["now"], workers["before"]),
            "validation_in_flight": flight,
            "aims": {"now_over_before": AIM_RATIO, "images_per_second_of_a_core": AIM_RATE},
        },
    )
    print(f"a core: {now:.0f} images/s (aim {AIM_RATE:.0f}), {faster['ratio']:.1f} times (aim {AIM_RATIO})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        data, what = sys.argv[2:]
        print(json.dumps(in_flight(data) if what == "flight" else training(data, int(what))))
    else:
        main()
