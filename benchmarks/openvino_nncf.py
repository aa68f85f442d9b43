"""int8 on OpenVINO: ours beside the same network quantised by NNCF, both beside ONNX Runtime's fp32; and first runs.

Run on an idle machine: .venv/bin/python benchmarks/openvino_nncf.py
Writes results/openvino-nncf.json: small (untrained), batch 1 and 16, one thread, interleaved in one process, the time
of the process. Each int8 network is compiled in four ways, so that like can be held against like: for any batch or for
one, and with fp32 or bf16 around its int8 products. Ours is `--for openvino`; the pairs that any runtime takes are
beside it. The error of each one's logits against ONNX Runtime's fp32, over the largest, is that of images which neither
learned its ranges from. And seconds from opening the network until its first logits, in new processes: of the ONNX
graph, of IR, and of IR whose compiled model was kept.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime as ort
from recording import ratio, write_result

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.data.demo import demo_images
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.preprocessing import prepare
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.nncf_peer import open_nncf_peer, write_quantised
from resnas_deploy.network.module import build_model
from resnas_deploy.precision import relative_error
from resnas_deploy.progress import silent
from resnas_deploy.runners.devices import capabilities, openvino_core
from resnas_deploy.runners.openvino_model import read
from resnas_deploy.runners.ort import NOT_DONE, UNFUSED
from resnas_deploy.weights.checkpoint import load, untrained

ROOT = Path(__file__).parents[1]
ROUNDS = {1: 30, 16: 7}
VALIDATION = {"small": 16, "demo": 2000}  # images, of which none was seen before
WAYS = {  # precision, and what else is asked of the export
    "fp32": ("fp32", {}),
    "pairs": ("int8", {"calibration_images": 16}),
    "ours": ("int8", {"calibration_images": 16, "for_runner": "openvino"}),
}
PROCESSES = 2  # of each first run
AROUND = {"fp32": "f32", "bf16": "bf16"}
FIRST = """
import sys, time
from pathlib import Path
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.store import open_engine
from resnas_deploy.images.samples import noise
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
import openvino, resnas_deploy.runners.openvino
artifact = open_artifact(sys.argv[1])
images = noise(1, artifact.image_size)
engine = open_engine(Path(sys.argv[2])) if len(sys.argv) > 2 else None
started = time.perf_counter()
with RUNNERS["openvino"].open(artifact, Options(1, engine=engine)) as runner:
    runner.run(images)
print(time.perf_counter() - started)
"""


def compiled(model, batch, hint):
    """Return what runs a batch by OpenVINO; compiled for that batch alone where there is one."""
    network = model.clone()
    if batch:
        shape = network.inputs[0].get_partial_shape()
        shape[0] = batch
        network.reshape({network.inputs[0]: shape})
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino_core().compile_model(network, "CPU", settings).create_infer_request()
    return lambda images: request.infer([images], share_inputs=True, share_outputs=True)


def exact(path):
    """Return what runs a batch by ONNX Runtime in float32."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.add_session_config_entry(NOT_DONE, UNFUSED)  # as our runner opens it
    session = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})


def interleaved(runs, images, rounds):
    """Return seconds of the process by name: in each round every network runs once, after a run that is not counted."""
    samples = {name: [] for name in runs}
    for run in runs.values():
        run(images)
    for _ in range(rounds):
        for name, run in runs.items():
            run(images)
            started = time.process_time()
            run(images)
            samples[name].append(time.process_time() - started)
    return samples


def first_seconds(folder, engine=None):
    """Return seconds until the first logits in a new process."""
    arguments = [str(folder), *([str(engine)] if engine else [])]
    done = subprocess.run([sys.executable, "-c", FIRST, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout)


def first_runs(artifact):
    """Return medians of seconds until the first logits: of ONNX, of IR, and of IR whose compiled model was kept."""
    engine = build_engine(artifact, TARGETS["openvino"], BuildOptions(), silent).engine.path
    found = {"ONNX": [], "IR": [], "IR, kept": []}
    for _ in range(PROCESSES):
        found["ONNX"].append(first_seconds(artifact.folder))
        for blob in engine.parent.glob("*.blob"):
            blob.unlink()
        found["IR"].append(first_seconds(artifact.folder, engine))
        found["IR, kept"].append(first_seconds(artifact.folder, engine))
    return {name: {"seconds": statistics.median(each), "samples": each} for name, each in found.items()}


def exported(name, checkpoint, folder):
    """Return artifacts by their ways; they are not verified, for their errors are measured here."""
    return {
        way: export(
            lambda: checkpoint,
            Request(name, folder / f"{name}-{way}", precision, verify_on=None, **asked),
            silent,
        )
        for way, (precision, asked) in WAYS.items()
    }


def errors(made, nncf, count):
    """Return errors of the logits on validation images, and top-1, each with what is around in fp32 and in bf16.

    The last tells something of a trained network alone.
    """
    preprocessing = made["fp32"].manifest.preprocessing
    validation = demo_images()[1]
    images = np.stack([prepare(validation.image(number), preprocessing, "float32") for number in range(count)])
    labels = validation.labels[:count]

    def logits(run):
        return np.concatenate(
            [np.array(next(iter(run(each).values()))) for each in np.array_split(images, -(-count // 50))]
        )

    wanted = logits(lambda each: {"logits": exact(made["fp32"].model)(each)[0]})
    found = {"fp32": {"top1": float((wanted.argmax(1) == labels).mean())}}
    models = {"pairs": made["pairs"].model, "ours": made["ours"].model, "nncf": nncf}
    for name, path in models.items():
        for around, hint in AROUND.items():
            ours = logits(compiled(read(path), None, hint))
            found[f"{name}, {around} around"] = {
                "error": relative_error(ours, wanted),
                "top1": float((ours.argmax(1) == labels).mean()),
            }
    return found


def demo_errors(folder):
    """Return `errors` of the trained demo network, quantised in each way."""
    checkpoint = load(ROOT / "examples" / "demo" / "checkpoint.safetensors")
    made = exported("demo", checkpoint, folder)
    path = folder / "demo-nncf.xml"
    write_quantised(build_model(checkpoint).eval(), made["fp32"].manifest.preprocessing, path, silent)
    return errors(made, path, VALIDATION["demo"])


def main() -> None:
    """Measure everything and write the result file."""
    ratios, times = {}, {}
    around = {name: hint for name, hint in AROUND.items() if name == "fp32" or "BF16" in capabilities()}
    with tempfile.TemporaryDirectory() as place, open_nncf_peer("nncf:small") as peer:
        folder, checkpoint = Path(place), untrained(PUBLISHED["small"].arch, seed=0)
        made = exported("small", checkpoint, folder)
        models = {"ours": read(made["ours"].model), "nncf": read(peer.model)}
        for batch, rounds in ROUNDS.items():
            runs = {"fp32": exact(made["fp32"].model)}
            for name, model in models.items():
                for form, size in (("any batch", None), ("one batch", batch)):
                    runs |= {f"{name}, {form}, {how} around": compiled(model, size, around[how]) for how in around}
            samples = interleaved(runs, noise(batch, 224), rounds)
            times[str(batch)] = {name: statistics.median(each) for name, each in samples.items()}
            ratios[str(batch)] = {
                f"{name} over {other}": ratio(samples[name], samples[other])
                for name in samples
                for other in ("fp32", name.replace("ours", "nncf"), "nncf, any batch, fp32 around")
                if name != other
            }
            print(batch, ratios[str(batch)], flush=True)
        del models, runs
        apart = {"small": errors(made, peer.model, VALIDATION["small"]), "demo": demo_errors(folder)}
        print(apart, flush=True)
        first = {WAYS[way][0]: first_runs(made[way]) for way in ("fp32", "ours")}
        print(first, flush=True)
    write_result(
        "openvino-nncf",
        {
            "network": "small, untrained",
            "threads": 1,
            "nncf": version("nncf"),
            "ratios": ratios,
            "seconds": times,
            "errors": apart,
            "first_run": first,
        },
    )


if __name__ == "__main__":
    main()
