"""Running out of memory is an error of the step that asked for too much, and the process lives."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest
from support.file_tree import tree

from resnas_deploy.measuring.machine.memory import SPARED, is_out_of_memory, limited

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (MemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for 10 bytes"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes"), True),
        (ValueError("Unable to allocate 7.45 GiB for an array"), True),
        (RuntimeError("the graph has no input images"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_what_runtimes_say(error, found):
    assert is_out_of_memory(error) is found


def test_what_it_was_raised_from_counts():
    """A runner's own error ends in the runtime's words, which may be cut."""
    try:
        raise ValueError("it cannot load the graph: pthread_create failed") from RuntimeError("Cannot allocate memory")
    except ValueError as error:
        assert is_out_of_memory(error)


def system(root, available):
    """A system on which so many MiB are free, of which this process sees its own use of memory."""
    tree(root, {"proc/meminfo": f"MemTotal: 9 kB\nMemAvailable:   {available * 1024} kB"})
    (root / "proc/self").mkdir()
    (root / "proc/self/status").symlink_to("/proc/self/status")
    return root


@pytest.mark.parametrize(
    ("groups", "free"),
    [
        ({}, 8192 * MIB),
        ({"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.current": "5"}, 8192 * MIB),
        ({"sys/fs/cgroup/memory.max": 3000 * MIB, "sys/fs/cgroup/memory.current": 1000 * MIB}, 2000 * MIB),
        ({"sys/fs/cgroup/memory.max": MIB, "sys/fs/cgroup/memory.current": 2 * MIB}, 0),
        (
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": 500 * MIB,
                "sys/fs/cgroup/memory/memory.usage_in_bytes": 100 * MIB,
            },
            400 * MIB,
        ),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": 2**63 - 4096}, 8192 * MIB),
    ],
)
def test_the_limit_is_what_is_used_and_free_and_is_taken_back(tmp_path, groups, free):
    files = {"proc/meminfo": f"MemAvailable: {8192 * 1024} kB", "proc/self/status": "Name:\tx\nVmData:\t 1048576 kB"}
    root = tree(tmp_path, files | groups)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited(root):
        within = resource.getrlimit(resource.RLIMIT_DATA)
    assert within == (int(1024 * MIB + free * (1 - SPARED)), before[1])
    with pytest.raises(RuntimeError), limited(root):
        raise RuntimeError
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("content", [None, "", "MemTotal: 9 kB\n"])
def test_a_kernel_that_does_not_tell(tmp_path, content):
    if content is not None:
        tree(tmp_path, {"proc/meminfo": content})
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited(tmp_path):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def in_a_process(code, *arguments):
    """The JSON that a process prints; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FREE = """
import json, sys
from pathlib import Path
import numpy as np
from resnas_deploy.measuring.machine.memory import limited

def touch(gigabytes):
    try:
        return int(np.ones(gigabytes * 2**30, np.uint8)[-1])
    except MemoryError as error:
        return type(error).__name__

free = int(next(line for line in open("/proc/meminfo") if line.startswith("MemAvailable")).split()[1])
with limited():
    refused = type(touch(free // 2**20 + 2)).__name__
print(json.dumps(refused))
"""

STAND_IN = """
import json, sys
from pathlib import Path
import numpy as np
from resnas_deploy.measuring.machine.memory import limited

def touch(megabytes):
    try:
        return int(np.ones(megabytes * 2**20, np.uint8)[-1])
    except MemoryError:
        return 0

with limited(Path(sys.argv[1])):
    found = [touch(100), touch(400), touch(100)]
print(json.dumps([*found, touch(400)]))
"""


def test_more_than_is_free_is_refused():
    assert in_a_process(FREE) == "str"


def test_what_fits_is_granted_before_and_after_a_refusal(tmp_path):
    assert in_a_process(STAND_IN, system(tmp_path, 300)) == [1, 0, 1, 1]


REAL = """
import json, sys
from pathlib import Path
import numpy as np
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.machine.memory import limited
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.openings import measure_openings
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

class Work:
    name = "nothing"
    def step(self):
        pass

kind = RUNNERS[sys.argv[3]]
plan = Plan((Subject(open_artifact(Path(sys.argv[1])), kind),), (1, 1536, 2), runs=2, threads=2, openings=2)
with kind.open(plan.subjects[0].network, Options(2)) as runner:
    runner.run(np.zeros((1, 3, 112, 112), np.float32))  # what the library itself needs is there already
with limited(Path(sys.argv[2])):
    outcome = measure_openings(plan, Work(), np.random.default_rng(0))
print(json.dumps([(m.configuration.batch, m.failure, [len(s) for s in m.samples_s]) for m in outcome.measurements]))
"""


@pytest.mark.parametrize("runner", ["ort-cpu", "openvino"])
def test_a_batch_that_does_not_fit_is_a_row_and_the_others_go_on(tmp_path, untrained_artifact, runner):
    found = in_a_process(REAL, untrained_artifact(batch="1:1536"), system(tmp_path, 700), runner)
    assert found == [[1, None, [1, 1]], [1536, "out of memory", []], [2, None, [1, 1]]]
