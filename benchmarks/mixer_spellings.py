"""Spellings of attention in windows and of pooled keys on runtimes for CPUs, each beside the one that is emitted.

The attention half of a block alone (norm, q, k, v, attention, projection, residual), written by hand in each way.

Run on an idle machine, about 2 minutes: .venv/bin/python benchmarks/mixer_spellings.py
Writes results/mixer-spellings.json: processor time with one thread over that of the emitted way, interleaved.
"""

from __future__ import annotations

import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from recording import ratio, write_result

from resnas_deploy.arch.mixer import Mixer
from resnas_deploy.graph.mixing import Windows
from resnas_deploy.processes.quiet import import_quietly

SIDE, WIDTH, HEADS, HEAD_DIM, WINDOW, POOL = 28, 224, 7, 32, 7, 2
INNER, TOKENS = HEADS * HEAD_DIM, SIDE**2 + 1
EMITTED = {"windows": "one gather", "pooled": "means over views"}
WAYS = {
    "windows": ("one gather", "q, k, v moved each", "one gather, products in place of the operator", "global"),
    "pooled": ("means over views", "average pool", "one mean over two axes", "keys and values pooled", "global"),
}
BATCHES, SECONDS, LEAST_ROUNDS = (1, 16), 7.0, 5
END = 2**31


class Graph:
    """Nodes under numbers, and constants."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def add(self, op, *inputs, **attributes):
        """Add a node; inputs that are lists of numbers or arrays become constants."""
        names = [self.constant(each) if not isinstance(each, str) else each for each in inputs]
        self.nodes.append(helper.make_node(op, names, [f"v{len(self.nodes)}"], **attributes))
        return f"v{len(self.nodes) - 1}"

    def constant(self, value):
        """Add a constant: an array as it is, a list as int64."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(value, np.int64) if isinstance(value, list) else value
        return name

    def attention(self, query, key, value, *mask):
        """Add the operator."""
        return self.add("Attention", query, key, value, *mask, scale=1.0, q_num_heads=HEADS, kv_num_heads=HEADS)

    def products(self, query, key, value, *mask):
        """Add the same as two products around a softmax."""
        query, key, value = (
            self.add("Transpose", self.add("Reshape", each, [0, 0, HEADS, HEAD_DIM]), perm=perm)
            for each, perm in ((query, [0, 2, 1, 3]), (key, [0, 2, 3, 1]), (value, [0, 2, 1, 3]))
        )
        scores = self.add("MatMul", query, key)
        scores = self.add("Add", scores, *mask) if mask else scores
        found = self.add("MatMul", self.add("Softmax", scores, axis=-1), value)
        return self.add("Reshape", self.add("Transpose", found, perm=[0, 2, 1, 3]), [0, 0, INNER])

    def cut(self, x, begin, end):
        """Cut out tokens."""
        return self.add("Slice", x, [begin], [end], [1])

    def model(self):
        """Return the bytes of `x -> y`, both `(B, T, C)`."""
        self.nodes[-1].output[0] = "y"
        dims = ["batch", TOKENS, WIDTH]
        ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)] for name in ("x", "y")]
        stored = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "attention", *ends, stored)
        imports = [helper.make_opsetid("", 23)]
        return helper.make_model(graph, ir_version=11, opset_imports=imports).SerializeToString()


def written(kind, way):
    """Return the model of an attention half."""
    graph, random = Graph(), np.random.default_rng(0)
    weights = [
        (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        for shape in [(WIDTH, INNER)] * 3 + [(INNER, WIDTH)]
    ]
    normed = graph.add("LayerNormalization", "x", np.ones(WIDTH, np.float32), axis=-1, epsilon=1e-6)
    asking = asked = normed
    windows = Windows(Mixer("window", WINDOW), SIDE)
    if way.startswith("one gather"):
        asking = asked = graph.add("Gather", normed, windows.order(), axis=1)
    elif way in ("means over views", "average pool", "one mean over two axes"):
        asked = pooled(graph, normed, way, WIDTH)
    query = graph.add("MatMul", asking, weights[0] / np.float32(np.sqrt(HEAD_DIM)))
    key, value = (graph.add("MatMul", asked, weight) for weight in weights[1:3])
    if way == "keys and values pooled":
        key, value = (pooled(graph, each, "means over views", INNER) for each in (key, value))
    if kind == "pooled" or way == "global":
        found = graph.attention(query, key, value)
    elif way == "q, k, v moved each":
        found = moved_each(graph, query, key, value)
    else:
        found = gathered(graph, windows, query, key, value, operator=way == EMITTED["windows"])
    graph.add("Add", "x", graph.add("MatMul", found, weights[3]))
    return graph.model()


def gathered(graph, windows, query, key, value, *, operator):
    """Attend to tokens in the order of windows."""
    attend, (group,), order = graph.attention if operator else graph.products, windows.groups, windows.order()
    copies = np.where((order == 0) & (np.arange(len(order)) > 0), np.float32(-1e4), np.float32(0))[None]
    class_token = attend(graph.cut(query, 0, 1), key, value, copies)
    parts = [graph.add("Reshape", each, [-1, group.tokens, INNER]) for each in (query, key, value)]
    found = graph.add("Reshape", attend(*parts), [-1, group.length, INNER])
    back = np.concatenate([[0], 1 + np.flatnonzero(order)[np.argsort(order[order > 0])]])
    return graph.add("Gather", graph.add("Concat", class_token, found, axis=1), back, axis=1)


def moved_each(graph, query, key, value):
    """Move q, k and v into windows, each for itself, by a transposition."""
    rows, tokens = SIDE // WINDOW, WINDOW**2

    def windows(x):
        x = graph.add("Reshape", graph.cut(x, 1, END), [-1, rows, WINDOW, rows, WINDOW * INNER])
        return graph.add("Reshape", graph.add("Transpose", x, perm=[0, 1, 3, 2, 4]), [-1, rows**2, tokens, INNER])

    def with_class_token(x):
        token = graph.add("Expand", graph.add("Reshape", graph.cut(x, 0, 1), [-1, 1, 1, INNER]), [1, rows**2, 1, 1])
        return graph.add("Reshape", graph.add("Concat", token, windows(x), axis=2), [-1, tokens + 1, INNER])

    class_token = graph.attention(graph.cut(query, 0, 1), key, value)
    query = graph.add("Reshape", windows(query), [-1, tokens, INNER])
    x = graph.attention(query, with_class_token(key), with_class_token(value))
    x = graph.add("Transpose", graph.add("Reshape", x, [-1, rows, rows, WINDOW, WINDOW * INNER]), perm=[0, 1, 3, 2, 4])
    return graph.add("Concat", class_token, graph.add("Reshape", x, [-1, SIDE**2, INNER]), axis=1)


def pooled(graph, x, way, width):
    """Put the means of cells in place of patch tokens."""
    cells, patches = SIDE // POOL, graph.cut(x, 1, END)
    if way == "means over views":
        means = graph.add("Reshape", patches, [0, cells, POOL, SIDE * width])
        means = graph.add("Reshape", graph.add("ReduceMean", means, [2], keepdims=0), [0, cells**2, POOL, width])
        means = graph.add("ReduceMean", means, [2], keepdims=0)
    elif way == "average pool":
        grid = graph.add("Transpose", graph.add("Reshape", patches, [0, SIDE, SIDE, width]), perm=[0, 3, 1, 2])
        grid = graph.add("AveragePool", grid, kernel_shape=[POOL] * 2, strides=[POOL] * 2)
        means = graph.add("Transpose", graph.add("Reshape", grid, [0, width, cells**2]), perm=[0, 2, 1])
    else:
        grid = graph.add("Reshape", patches, [0, cells, POOL, cells, POOL, width])
        means = graph.add("Reshape", graph.add("ReduceMean", grid, [2, 4], keepdims=0), [0, cells**2, width])
    return graph.add("Concat", graph.cut(x, 0, 1), means, axis=1)


def on_onnxruntime(model):
    """Return a function that runs the model with one thread."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def on_openvino(model):
    """Return a function that runs the model with one thread, in float32."""
    core = import_quietly("openvino").Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model=model), "CPU", settings)
    asking = compiled.create_infer_request()
    return lambda x: np.array(asking.infer({0: x})[0])


def main() -> None:
    """Measure every way on both runtimes and write the result file."""
    random, found = np.random.default_rng(0), {}
    for runtime, opened in (("ONNX Runtime", on_onnxruntime), ("OpenVINO", on_openvino)):
        for kind, ways in WAYS.items():
            steps = {way: opened(written(kind, way)) for way in ways}
            for batch in BATCHES:
                x = random.standard_normal((batch, TOKENS, WIDTH), dtype=np.float32)
                wanted = steps[EMITTED[kind]](x)
                differs = max(float(np.abs(step(x) - wanted).max()) for way, step in steps.items() if way != "global")
                samples, until = {way: [] for way in ways}, time.monotonic() + SECONDS
                while time.monotonic() < until or len(samples[ways[0]]) < LEAST_ROUNDS:
                    for way in random.permutation(list(ways)):
                        began = time.process_time()
                        steps[way](x)
                        samples[way].append(time.process_time() - began)
                emitted = samples[EMITTED[kind]]
                over = {way: ratio(times, emitted) for way, times in samples.items() if way != EMITTED[kind]}
                found[f"{kind}, {runtime}, batch {batch}"] = {
                    "emitted": EMITTED[kind],
                    "over": over,
                    "rounds": len(emitted),
                    "differs": differs,
                }
                print(kind, runtime, batch, {way: round(each["ratio"], 3) for way, each in over.items()}, flush=True)
    half = f"{SIDE} x {SIDE} tokens, width {WIDTH}, {HEADS} heads x {HEAD_DIM}, window {WINDOW}, pool {POOL}, fp32"
    write_result("mixer-spellings", {"attention_half": half, "time_over_emitted": found})


if __name__ == "__main__":
    main()
