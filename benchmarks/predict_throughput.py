"""`predict` beside the bare runner, decoding by one thread and by all, and memory of few images and of many.

Run on an idle machine, three minutes: .venv/bin/python benchmarks/predict_throughput.py
Writes results/predict-throughput.json.

- Over the bare runner: whole batches through `Artifact.predictions`, from files on, against `Runner.run` on one batch
  that lies ready, on a runner of the same kind, in turn. The images are PNGs of 56 pixels a side: reading one takes
  little, but it is still resized and normalised, on the cores that the network runs on. Both are opened anew each time,
  before the clock runs: a runner may prepare for a size that it has seen often.
- Decoding: JPEGs of photograph size, read ahead as `predict` reads them, by one thread and by one for each core; and
  through `predict` with the demo network, which takes less time than they do.
- Memory: the most that a process of the whole command held at once (VmHWM of proc(5): of its own memory alone, where
  `ru_maxrss` may be that of whoever started it), of 1,000 and of 10,000 images.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from recording import ratio, write_result

import resnas_deploy as resnas
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.images.samples import noise
from resnas_deploy.images.stream import prepared
from resnas_deploy.runners.base import Options, Runner, usable_cores
from resnas_deploy.runners.registry import RUNNERS

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "demo" / "checkpoint.safetensors"
NAMES = ("ort-cpu", "openvino")
ROUNDS, BATCH, BATCHES = 6, 16, 5
SMALL, PHOTOGRAPH = (56, 56), (500, 375)  # pixels
FILES, DECODING_ROUNDS = 200, 5
FEW, MANY = 1000, 10_000
# The command, and then what the kernel says of its memory.
CHILD = """
import atexit
def most():
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    print(line.split()[1], file=open("peak", "w"))
atexit.register(most)
from resnas_deploy.cli.app import main
main()
"""


def main() -> None:
    """Measure all, print it, and write the result."""
    with scratch_folder("predict") as folder:
        tiny = list(pictures(folder / "tiny", SMALL, "png"))
        photographs = list(pictures(folder / "photographs", PHOTOGRAPH, "jpg"))
        small = resnas.export("small", folder / "small", batch=f"1:{BATCH}", unverified=True)
        demo = resnas.export(checkpoint=DEMO, out=folder / "demo", unverified=True)
        result = {
            "network": "small fp32 224",
            "batch": BATCH,
            "images": BATCH * BATCHES,
            "image_pixels": SMALL,
            "over_bare": {name: over_bare(small, name, tiny) for name in NAMES},
            "decoding": decoding(photographs, demo),
            "memory": {str(count): memory(folder, demo, photographs, count) for count in (FEW, MANY)},
        }
    print(json.dumps({key: value for key, value in result.items() if key != "samples"}, indent=1))
    write_result("predict-throughput", result)


def pictures(folder: Path, size: tuple[int, int], suffix: str) -> Iterator[Path]:
    """Write images with structure and some noise, as photographs have them, and yield their files."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(FILES):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        levels = np.asarray(coarse) + rng.normal(0, 4, (size[1], size[0], 3))
        path = folder / f"{number:05}.{suffix}"
        Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        yield path


def over_bare(artifact: resnas.Artifact, name: str, files: Sequence[Path]) -> dict[str, object]:
    """Return images a second of `predictions`, of the bare runner, and their ratio, measured in turn."""
    paths = [files[number % len(files)] for number in range(BATCH * BATCHES)]
    images = noise(BATCH, artifact.image_size)
    ours, bare = list[float](), list[float]()
    for _ in range(ROUNDS):
        with RUNNERS[name].open(artifact, Options(usable_cores())) as runner:
            bare.append(bare_seconds(runner, images))
        ours.append(our_seconds(artifact, name, paths))
    return {
        # The ratio of rates: theirs is the numerator of seconds.
        "throughput_over_bare": ratio(bare, ours),
        "images_per_second": len(paths) / float(np.median(ours)),
        "bare_images_per_second": len(paths) / float(np.median(bare)),
        "samples_s": {"predictions": ours, "bare": bare},
    }


def bare_seconds(runner: Runner, images: np.ndarray) -> float:
    """Return how long the runner takes for as many batches."""
    began = time.perf_counter()
    for _ in range(BATCHES):
        runner.run(images)
    return time.perf_counter() - began


def our_seconds(artifact: resnas.Artifact, name: str, paths: Sequence[Path]) -> float:
    """Return how long predictions of files take, from the first file on."""
    with artifact.predictions(paths, runner=name, batch=BATCH) as found:
        began = time.perf_counter()
        count = sum(1 for _ in found)
        seconds = time.perf_counter() - began
    assert count == len(paths)
    return seconds


def decoding(files: Sequence[Path], demo: resnas.Artifact) -> dict[str, object]:
    """Return images a second of reading alone, by one thread and by all, and of predicting with a small network."""
    cores, preprocessing = usable_cores(), Preprocessing.for_image_size(224)
    seconds: dict[str, list[float]] = {"one_thread": [], "all_cores": [], "predict": []}
    for _ in range(DECODING_ROUNDS):
        for name, threads in (("one_thread", 1), ("all_cores", cores)):
            began = time.perf_counter()
            read = sum(1 for _ in prepared(files, load_image, preprocessing, "float32", threads=threads))
            assert read == len(files)
            seconds[name].append(time.perf_counter() - began)
        seconds["predict"].append(our_seconds(demo, "ort-cpu", files))
    return {
        "image_pixels": PHOTOGRAPH,
        "threads": cores,
        "images_per_second": {name: len(files) / float(np.median(values)) for name, values in seconds.items()},
        "all_cores_over_one_thread": ratio(seconds["one_thread"], seconds["all_cores"]),
        "samples_s": seconds,
    }


def memory(folder: Path, demo: resnas.Artifact, files: Sequence[Path], count: int) -> dict[str, float]:
    """Return the most memory that the command held, and how long it took, for so many images."""
    (folder / "list").write_text("".join(f"{files[number % len(files)]}\n" for number in range(count)))
    command = ("predict", str(demo.folder), "@list", "--jsonl")
    began = time.perf_counter()
    with (folder / "printed").open("wb") as printed:
        subprocess.run([sys.executable, "-c", CHILD, *command], cwd=folder, stdout=printed, check=True)
    seconds = time.perf_counter() - began
    assert (folder / "printed").read_bytes().count(b"\n") == count
    return {"peak_bytes": 1024 * int((folder / "peak").read_text()), "seconds": seconds}


if __name__ == "__main__":
    main()
