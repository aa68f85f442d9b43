"""Candidates are scored by a local Ray cluster, and a worker that is killed costs nothing but time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.processes import below, gone
from support.small_data import SPACE, Stripes

from resnas_deploy.arch.cost import macs
from resnas_deploy.searching.candidate import Score
from resnas_deploy.searching.held_out import KEPT_BYTES, in_random_order
from resnas_deploy.searching.pool import RayPool, ScorerSource
from resnas_deploy.searching.ray_cluster import connected
from resnas_deploy.weights.checkpoint import untrained

pytest.importorskip("ray")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_killed_worker_is_replaced(tmp_path):
    marker = tmp_path / "killed"

    class Fragile:
        """Scores by MACs; the first worker that is asked for a sixth subnet kills itself."""

        def __init__(self):
            self.asked = 0

        def scores(self, subnets, target, *told):
            del target
            self.asked += len(subnets)
            if self.asked > 5:
                try:
                    marker.touch(exist_ok=False)
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return [Score(macs(subnet.arch), 10**9) for subnet in subnets]

    rng = np.random.default_rng(0)
    subnets = [SPACE.sample(rng) for _ in range(40)]
    with warnings.catch_warnings(), connected("") as ray:
        found = RayPool(ray, lambda _: Fragile).scores(subnets, None)
    assert marker.exists()
    assert [score.correct for score in found] == [macs(subnet.arch) for subnet in subnets]


LARGE, COUNT = 256, 1000  # pixels a side, and images: 197 MB


@dataclass(frozen=True)
class Noise(Stripes):
    """Images that take memory."""

    def image(self, index):
        rng = np.random.default_rng((self.seed, index))
        return Image.fromarray(rng.integers(0, 255, (LARGE, LARGE, 3), dtype=np.uint8))


def actors():
    """The numbers of Ray's processes that score."""
    return [each for each in below(os.getpid()) if b"_Actor" in Path(f"/proc/{each}/cmdline").read_bytes()]


def most_of_its_own():
    """The bytes that the largest of Ray's workers has for itself alone: neither files nor shared memory."""
    texts = [Path(f"/proc/{each}/smaps_rollup").read_text().split() for each in actors()]
    return 1024 * max(int(text[text.index("Anonymous:") + 1]) for text in texts)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_workers_score_as_this_process_does_and_none_holds_the_images():
    space = replace(SPACE, image_size=LARGE, patch_size=16, stem_mid_widths=(1,))  # whose stem keeps little
    rng = np.random.default_rng(0)
    few, many = (
        ScorerSource(untrained(space.widest().full), in_random_order(Noise(n)), 50, "cpu") for n in (50, COUNT)
    )
    subnets = [space.sample(rng) for _ in range(2)]
    own = []
    with warnings.catch_warnings(), connected("", many.bytes) as ray:
        for source in (few, many):
            pool = RayPool(ray, partial(source.shared, ray.put))
            here = source()
            alone = here.scores(subnets, None)
            target = max(score.correct for score in alone)
            assert pool.rate(subnets[:1], COUNT) > 0
            assert pool.scores(subnets, None) == alone
            assert pool.scores(subnets, target) == here.scores(subnets, target)
            own.append(most_of_its_own())
            for actor in pool._actors:
                ray.kill(actor)
            gone(actors())
    assert own[1] < own[0] + KEPT_BYTES // 2 + many.bytes / 2, own  # and what each keeps of the stem


PROGRAM = """
import os, sys, time
from resnas_deploy.processes import ending
from resnas_deploy.searching.pool import RayPool
from resnas_deploy.searching.ray_cluster import connected

class Broken:
    def __init__(self):
        os.kill(os.getpid(), 9)

class Wrong:
    def __init__(self):
        raise RuntimeError("of its own")

class Slow:
    def scores(self, subnets, target, *told):
        time.sleep(1000)

def command():
    scorer = {"broken": Broken, "wrong": Wrong, "slow": Slow}[sys.argv[1]]
    with connected("") as ray:
        pool = RayPool(ray, lambda _: scorer)
        print("there", flush=True)
        pool.scores([1, 2, 3], None)
    return 0

try:
    sys.exit(ending.run_command(command, whole_process=True))
except Exception as error:
    print(type(error).__name__, error)
"""


def started(what):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_cluster_of_ours_ends_with_us(number):
    with started("slow") as process:
        try:
            assert process.stdout.readline() == "there\n", process.stderr.read()
            children = below(process.pid)
            assert len(children) > 3
            process.send_signal(number)
            process.wait(timeout=120)
            gone(children)
            if number == signal.SIGTERM:
                assert process.returncode == 143
                assert process.stderr.read().splitlines()[-1] == "resnas: ended by SIGTERM"
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("broken", "BadInput Ray's workers must stay alive, found one that failed and was started again 3 times"),
        ("wrong", "BadInput Ray's workers must stay alive, found one that failed"),
    ],
)
def test_workers_that_cannot_live_are_a_line(what, said):
    with started(what) as process:
        out, err = process.communicate(timeout=400)
    lines = [line for line in out.splitlines() if "(raylet)" not in line]  # which Ray tells of itself
    assert lines[0] == "there", out + err
    assert lines[1].startswith(said)
    assert len(lines) == 2
    if what == "wrong":
        assert "RuntimeError: of its own" in lines[1]
