"""What a run needs of memory: counted before it starts, said in a line, and held to what passes really take."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from support.small_data import RECIPE, SPACE

from resnas_deploy.errors import BadInput
from resnas_deploy.training import memory_estimate
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.memory_estimate import advice, check_memory, estimate, measure
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.recipe import read_recipe
from resnas_deploy.weights.space_files import packaged_spaces

CPU = torch.device("cpu")
ALONE = Processes(Share(), CPU)
IN_PARTS = {"accumulation": 2}
RECOMPUTING = {"activation_checkpointing": True}

PEAK = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from resnas_deploy.weights.space_files import packaged_spaces
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.memory_estimate import estimate, measure
from resnas_deploy.training.mixing import unmixed
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.passes import Passes
from resnas_deploy.training.recipe import Recipe

def status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])

def passes_of(images):
    recipe = Recipe(1, images, images // 4, 1e-3, warm_up_epochs=0, accumulation=int(sys.argv[1]),
                    activation_checkpointing=sys.argv[2] == "True")
    network = TrainedNetwork(widest.full, checkpointing=recipe.activation_checkpointing, space=space).train()
    processes = Processes(Share(), torch.device("cpu"))
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    passes = Passes(network, recipe, processes, scaler, supernet=True)
    found = estimate(network, recipe, processes, measure(network, recipe, torch.device("cpu")))
    pixels = torch.randn(images, 3, arch.image_size, arch.image_size)
    mixed = unmixed(pixels, torch.zeros(images, dtype=torch.int64), arch.classes, arch.side(2), 0.1)
    return lambda: passes(mixed, (widest,) * 4, None), found

torch.set_num_threads(1)
space = packaged_spaces()["demo"]
if sys.argv[3] == "True":
    space = replace(space, stem_mid_widths=(16, 8))
widest = space.widest()
arch = widest.full
passes_of(4)[0]()  # libraries are in memory from here on
step, found = passes_of(256)
Path("/proc/self/clear_refs").write_text("5")  # VmHWM from here on (proc_pid_clear_refs(5))
before = status("VmRSS")
step()
print(status("VmHWM") - before, found.gradients + found.activations)
"""


@pytest.mark.slow
@pytest.mark.parametrize("stems", [False, True], ids=["one stem", "stems"])
@pytest.mark.parametrize(("parts", "checkpointing"), [(1, False), (4, False), (1, True), (4, True)])
def test_passes_take_what_was_estimated(parts, checkpointing, stems):
    """The growth of the resident set, in a process of its own whose allocator gives large blocks back at once."""
    command = [sys.executable, "-c", PEAK, str(parts), str(checkpointing), str(stems)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}  # mallopt(3)
    text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    measured, estimated = map(int, text.split())
    assert 0.85 < estimated / measured < 1.2


@pytest.fixture(scope="module")
def demo():
    """The network, a recipe for it in groups of 8, and what its passes keep."""
    network = TrainedNetwork(packaged_spaces()["demo"].widest().full)
    recipe = replace(read_recipe("demo", "supernet"), batch=64, group=8, precision="fp32", drop_path=0.1)
    return network, recipe, measure(network, recipe, CPU)


def test_measuring_changes_nothing():
    network = TrainedNetwork(SPACE.widest().full)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = measure(network, RECIPE, CPU)
    assert measure(network, RECIPE, CPU) == first
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_is_kept_is_what_the_network_has(demo):
    network, recipe, found = demo
    arch = network.arch
    features = arch.stem_mid_width * (arch.image_size // 2) ** 2 * 4
    assert found.features == features
    assert found.stem >= 6 * features  # each of three convolutions, norms and ReLUs has one
    assert found.weights == 0
    narrow = measure(network, replace(recipe, precision="bf16"), CPU)
    assert narrow.features == features / 2
    assert 0.4 * found.body < narrow.body < 0.8 * found.body
    inside = sum(p.numel() for name, p in network.named_parameters() if p.dim() == 2)
    assert inside * 2 * 0.9 < narrow.weights  # a copy of each matrix in bf16


def test_parts_and_recomputing_need_less(demo):
    network, recipe, found = demo

    def needs(**settings):
        return estimate(network, replace(recipe, **settings), ALONE, found).activations

    assert needs(**IN_PARTS) < 0.7 * needs()
    assert needs(**RECOMPUTING) < 0.5 * needs()
    assert needs(**IN_PARTS, **RECOMPUTING) <= needs(**RECOMPUTING)


def test_the_state_is_counted_from_the_weights(demo):
    network, recipe, found = demo
    parameters = 4 * sum(p.numel() for p in network.parameters())
    without = estimate(network, replace(recipe, ema=0.0), ALONE, found)
    with_average = estimate(network, replace(recipe, ema=0.9), ALONE, found)
    assert (without.gradients, without.optimiser, without.average) == (parameters, 2 * parameters, 0)
    assert with_average.total == without.total + without.weights
    halved = estimate(network, recipe, Processes(Share(0, 2), CPU), found)
    assert halved.batch == estimate(network, recipe, ALONE, found).batch // 2
    document = without.to_json()
    assert document["total"] == sum(document[name] for name in ("weights", "gradients", "optimiser", "average")) + (
        document["batch"] + document["activations"]
    )


def test_the_advice_makes_it_fit_and_costs_as_little_as_can_be(demo):
    network, recipe, found = demo

    def limit(**settings):
        return int(estimate(network, replace(recipe, **settings), ALONE, found).total / 0.9) + 1

    assert advice(network, recipe, ALONE, found, limit(accumulation=2)) == "set accumulation = 2"
    assert advice(network, recipe, ALONE, found, limit(accumulation=8)) == "set accumulation = 8"
    least = limit(accumulation=8, **RECOMPUTING)
    assert "activation_checkpointing = true" in advice(network, recipe, ALONE, found, least)
    assert advice(network, recipe, ALONE, found, least // 2) == "set batch or group lower"


@pytest.mark.parametrize(
    ("free", "ends"), [(None, "MB an image)"), (10**12, "free"), (10**7, "set batch or group lower")]
)
def test_the_line_says_what_is_free(monkeypatch, free, ends):
    monkeypatch.setattr(memory_estimate, "free_memory", lambda: free)
    network = TrainedNetwork(packaged_spaces()["demo"].widest().full)
    found, line = check_memory(network, replace(read_recipe("demo", "supernet"), batch=64), ALONE)
    assert line.startswith("memory: about ")
    assert line.endswith(ends)
    assert ("it may not fit" in line) == (free == 10**7)
    assert found.total > found.state


def test_what_cannot_fit_is_refused(monkeypatch):
    """As CUDA says it: docs.pytorch.org/docs/stable/generated/torch.cuda.memory.mem_get_info.html (free, total)."""
    monkeypatch.setattr(memory_estimate, "measure", lambda network, recipe, device: measure(network, recipe, CPU))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**6, 2 * 10**6))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    network = TrainedNetwork(packaged_spaces()["demo"].widest().full)
    with pytest.raises(BadInput, match=r"must fit into the device's memory, found .* of 2 MB; train a smaller network"):
        check_memory(network, RECIPE, Processes(Share(), torch.device("cuda")))
