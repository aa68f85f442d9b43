"""What a request of one image costs beyond the network's own run, by the largest batch and by how it is served.

Run on an idle machine: PYTHONPATH=tests .venv/bin/python benchmarks/serving_largest_batch.py (4 minutes)
Writes results/serving-largest-batch.json: small fp32 behind two real servers, with huge pages and without, each model a
process of its own, all asked in turn. The served program is the one that `triton export` writes, with a clock around
its runs: which pages a process was given decides part of its run's time for as long as it lives, and no part of what is
counted here. How long the same runs take in a bare runner is told beside it. All are opened anew `OPENINGS` times.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from huge_pages import begin_again_with_huge_pages
from PIL import Image
from recording import write_result
from support.triton_server import started_server
from tritonclient import grpc, http

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.arch.inputs import FLOAT32, INPUTS, UINT8
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.samples import noise
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.repository.config import CONFIG, IMAGE_FILE, config_text, parse
from resnas_deploy.serving.repository.contents import MODEL_PY, add_model
from resnas_deploy.serving.repository.settings import ENSEMBLE, PREPROCESS, ModelSettings
from resnas_deploy.serving.server.huge_pages import TUNABLE, VARIABLE
from resnas_deploy.weights.checkpoint import untrained

THREADS, ROUNDS, WARM_UPS, OPENINGS = 2, 30, 5, 2
LARGEST, USUAL = (1, 2, 4, 8, 16, 32, 64, 128), 4  # how else a model is served is told of the usual one
HUGE, SMALL = "huge", "4 KiB"
PAGES = {HUGE: {}, SMALL: {VARIABLE: f"{TUNABLE}=0"}}
RUN = "run.bin"  # in the model's folder: the seconds of the last run, in memory that is shared by mapping the file
# Of Triton's statistics of a model (docs/protocol/extension_statistics.md of triton-inference-server/server): the whole
# of a request in the server, whose other parts do not hold what was answered from the cache.
PARTS = ("success", "queue", "compute_input", "compute_infer", "compute_output")
# What is added to the program that serves a model.
CLOCK = f"""

class _Clocked:
    def __init__(self, session, path):
        import time

        self._session, self._clock = session, time.perf_counter
        self._seconds = np.memmap(path, np.float64, "r+", shape=1)

    def run(self, *given):
        started = self._clock()
        found = self._session.run(*given)
        self._seconds[0] = self._clock() - started
        return found


class TritonPythonModel(TritonPythonModel):
    def initialize(self, args):
        super().initialize(args)
        self._session = _Clocked(self._session, Path(args["model_repository"]) / "{RUN}")
"""


@dataclass(frozen=True)
class Served:
    """A model, and how it is asked."""

    model: str
    pages: str = HUGE
    protocol: str = "grpc"
    settings: dict = field(default_factory=dict)
    taken: str = FLOAT32.name
    batches: bool = True  # whether requests are merged at all
    ensemble: bool = False
    image: str = "same"  # from one request to the next; or new; or twice, the second time timed


# By what stands in the table.
ROWS = {
    **{f"largest batch {most}": Served(f"most-{most}", settings={"max_batch": most}) for most in LARGEST},
    **{
        f"largest batch {most}, {SMALL}": Served(f"most-{most}", SMALL, settings={"max_batch": most})
        for most in (1, 16)
    },
    "over HTTP": Served(f"most-{USUAL}", protocol="http", settings={"max_batch": USUAL}),
    "without dynamic batching": Served("alone", batches=False),
    "two instances": Served("two", settings={"instances": 2}),
    "images as bytes (uint8)": Served("levels", taken=UINT8.name),
    "response cache, a new image": Served("cached", settings={"cache": True}, image="new"),
    "response cache, an image again": Served("cached", settings={"cache": True}, image="twice"),
    "files of images (ensemble)": Served("files", ensemble=True),
}


class Asker:
    """Asks one model, and takes the times of it."""

    def __init__(self, served, repository, running, size):
        self.served, self.size = served, size
        self.name = served.model + ENSEMBLE * served.ensemble
        self.client = (grpc if served.protocol == "grpc" else http).InferenceServerClient(
            running.grpc if served.protocol == "grpc" else running.http
        )
        self.counters = grpc.InferenceServerClient(running.grpc)
        self.run = np.memmap(repository / served.model / RUN, np.float64, "r", shape=1)
        self.images = noise(1, size, INPUTS[served.taken])
        self.given = self.request()
        self.drawn = np.random.default_rng(len(served.image))  # no image that another row's requests have had

    def request(self):
        """Return the input of a request, which is made before the clock starts."""
        module = grpc if self.served.protocol == "grpc" else http
        if self.served.ensemble:
            file = io.BytesIO()
            pixels = noise(1, self.size, UINT8)[0]
            Image.fromarray(pixels).save(file, "JPEG")
            given = module.InferInput(IMAGE_FILE, [1, 1], "BYTES")
            given.set_data_from_numpy(np.array([[file.getvalue()]], dtype=object))
            return given
        given = module.InferInput(INPUT, list(self.images.shape), "UINT8" if self.served.taken == "uint8" else "FP32")
        given.set_data_from_numpy(self.images)
        return given

    def ask(self):
        """Return the milliseconds of a request and its parts; `run` is the network's own, in its process."""
        if self.served.image != "same":
            self.images[0, 0, 0, 0] = self.drawn.standard_normal()
            self.given = self.request()
        if self.served.image == "twice":
            self.client.infer(self.name, [self.given])
        before = self.counted()
        started = time.perf_counter()
        self.client.infer(self.name, [self.given])
        found = {"request": 1e3 * (time.perf_counter() - started)}
        found["run"] = 0.0 if self.served.image == "twice" else 1e3 * float(self.run[0])
        return found | {part: after - before[part] for part, after in self.counted().items()}

    def counted(self):
        """Return the milliseconds that the server has counted so far, by what for."""
        found = self.counters.get_inference_statistics(self.name).model_stats[0].inference_stats
        counted = {part: 1e-6 * getattr(found, part).ns for part in PARTS}
        if self.served.ensemble:
            before = self.counters.get_inference_statistics(self.served.model + PREPROCESS).model_stats[0]
            counted["prepare"] = 1e-6 * before.inference_stats.compute_infer.ns
        return counted

    def close(self):
        self.client.close()
        self.counters.close()


def written(folder, artifacts):
    """Write a repository for each kind of pages, with a clock in each model."""
    done = set()
    for served in ROWS.values():
        repository = folder / served.pages
        if (served.pages, served.model) in done:
            continue
        done.add((served.pages, served.model))
        settings = ModelSettings(served.model, threads=THREADS, **{"max_batch": USUAL} | served.settings)
        add_model(repository, artifacts[served.taken], settings, ensemble=served.ensemble)
        program = repository / served.model / "1" / MODEL_PY
        program.write_text(program.read_text() + CLOCK)
        (repository / served.model / RUN).write_bytes(bytes(8))
        if not served.batches:
            path = repository / served.model / CONFIG
            config = parse(path.read_text(), CONFIG)
            config.ClearField("dynamic_batching")
            path.write_text(config_text(config))


def opened(artifact, folder, kinds):
    """Return milliseconds by row, and of the bare runner, interleaved, of servers just opened; and their memory."""
    images = noise(1, artifact.arch.image_size)
    askers, running_of = {}, {}
    times = defaultdict(list)
    with ExitStack() as stack:
        runner = stack.enter_context(RUNNERS["ort-cpu"].open(artifact, Options(THREADS, shares_cores=True)))
        for pages in kinds:
            running_of[pages] = stack.enter_context(
                started_server(folder / pages, "--ready-within", "200", env=PAGES[pages])
            )
        for row, served in ROWS.items():
            askers[row] = Asker(served, folder / served.pages, running_of[served.pages], artifact.arch.image_size)
            stack.callback(askers[row].close)
        drawn, names = np.random.default_rng(0), ["", *askers]
        for number in range(ROUNDS + WARM_UPS):
            for name in (names[index] for index in drawn.permutation(len(names))):
                if name:
                    found = askers[name].ask()
                else:
                    started = time.perf_counter()
                    runner.run(images)
                    found = {"run": 1e3 * (time.perf_counter() - started)}
                if number >= WARM_UPS:
                    times[name].append(found)
        resident = {row: resident_mb(running_of[served.pages], served.model) for row, served in ROWS.items()}
    return times, resident


def resident_mb(running, model):
    """Return the megabytes of memory that the processes of a model have."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):  # of one that has ended
                command = (process / "cmdline").read_bytes().decode(errors="replace")
                if f"resnas_{running.process.pid}_" in command and f"/{model}/" in command:
                    pages = int((process / "statm").read_text().split()[1])
                    found.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
    return sum(found)


def summary(openings):
    """Return p50 of what each row adds to its own run, and of its parts: the median over openings."""
    rows = []
    bare = [p50(times[""], lambda each: each["run"]) for times, _ in openings]
    for row, served in ROWS.items():
        taken = [times[row] for times, _ in openings]
        adds = [p50(each, lambda found: found["request"] - found["run"]) for each in taken]
        runs = [p50(each, lambda found: found["run"]) for each in taken]
        whole = [p50(each, lambda found: found["request"]) for each in taken]
        parts = {
            "client": lambda found: found["request"] - found["success"],
            "queue": lambda found: found["queue"],
            "server": lambda found: found["success"] - found["queue"] - found["run"],
        }
        if served.ensemble:  # of which it is a part
            parts["preparing images"] = lambda found: found["prepare"]
        elif served.image != "twice":  # an answer from the cache is computed nowhere
            parts["input"] = lambda found: found["compute_input"]
            parts["backend"] = lambda found: found["compute_infer"] - found["run"]
            parts["output"] = lambda found: found["compute_output"]
        rows.append(
            {
                "row": row,
                "pages": served.pages,
                "largest_batch": served.settings.get("max_batch", USUAL),
                "request_adds_ms": float(np.median(adds)),
                "by_opening_ms": adds,
                "parts_ms": {
                    name: float(np.median([p50(each, part) for each in taken])) for name, part in parts.items()
                },
                "run_by_opening_ms": runs,
                "over_bare_ms": float(np.median([each - base for each, base in zip(whole, bare, strict=True)])),
                "resident_mb": max(resident[row] for _, resident in openings),
            }
        )
    return {"bare_by_opening_ms": bare, "settings": rows}


def p50(found, part):
    """Return the median of a part over rounds."""
    return float(np.median([part(each) for each in found]))


def main() -> None:
    """Measure and write the result file."""
    with tempfile.TemporaryDirectory() as name:
        folder, artifacts = Path(name), {}
        for taken in (FLOAT32.name, UINT8.name):
            request = Request("small", folder / taken, batch=BatchRange(1, max(LARGEST)), input=taken, verify_on=None)
            artifacts[taken] = export(lambda: untrained(PUBLISHED["small"].arch), request, lambda _: None)
        written(folder, artifacts)
        kinds = list(PAGES)
        openings = [
            opened(artifacts[FLOAT32.name], folder, kinds[:: (1, -1)[number % 2]]) for number in range(OPENINGS)
        ]
    write_result(
        "serving-largest-batch", {"threads": THREADS, "rounds": ROUNDS, "openings": OPENINGS, **summary(openings)}
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begin_again_with_huge_pages()
    main()
