"""From training to a benchmark: two and four stages, even and odd grids, mixers, heads of several sizes, any stem."""

from __future__ import annotations

import pytest
from support.mini_space import measured, truth
from support.small_data import alone, run, write_folder
from support.small_spaces import ANY_STAGES

import resnas_deploy as resnas
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import PROFILE, regression_of, subnets
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.searching.held_out import HeldOutSource, in_random_order
from resnas_deploy.searching.pool import ScorerSource
from resnas_deploy.training.loop import train
from resnas_deploy.weights.checkpoint import load
from resnas_deploy.weights.slicing import slice_subnet

FEW = {"iterations": 2, "first": 6, "children": 4, "parents": 3, "finalists": 1, "tries": 1, "seed": 3}


@pytest.mark.parametrize("space", ANY_STAGES, ids=lambda space: space.name)
def test_a_supernet_is_trained_searched_and_its_winner_benchmarked(space, tmp_path, small_reference):
    images = Preprocessing(space.image_size, space.image_size)
    supernet = train(run(tmp_path / "run", space=space, arch=space.widest().full, preprocessing=images), alone())
    assert supernet.checkpoint.space == space
    assert supernet.checkpoint.arch == space.widest().full
    setup = choose_setup("ort-cpu", "fp32", 1, 1, "")
    archs = subnets(space, PROFILE, 120)
    model = LatencyModel(space, setup, setup.setting(), regression_of(measured(archs, truth(space), space)))
    data = write_folder(tmp_path / "data")
    found = resnas.search(
        supernet=supernet.path, score_on=data / "val", max_macs="80%", model=model, out=tmp_path / "found", **FEW
    )
    winner = found.winner
    assert space.contains(winner.candidate.subnet)
    assert winner.checkpoint.arch == winner.candidate.subnet.arch
    assert winner.artifact.manifest.verification
    whole = load(supernet.path)
    images = in_random_order(HeldOutSource(score_on=str(data / "val")).images(whole, supernet.path))
    own = ScorerSource(slice_subnet(whole, winner.candidate.subnet), images, 100, "cpu")()
    assert own.score(Subnet.whole(winner.checkpoint.arch)) == winner.candidate.score
    report = resnas.bench(winner.artifact, runners=["ort-cpu"], batches=[1, 3], runs=2, openings=1, threads=1)
    assert [item.configuration.batch for item in report.measurements] == [1, 3]
