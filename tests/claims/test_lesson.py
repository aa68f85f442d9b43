"""Lessons: the package's own training on pairs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from evidence import pairs, sampling
from evidence.lesson import CHANCE, PREPROCESSING, Lesson, counted, judged, taught
from evidence.networks import SPACE, network

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.network.module import ResidualReduction
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.input.batches import normalised
from resnas_deploy.training.learner import Learner

FEW = Lesson(network(2), steps=3, batch=8, rate=1e-3, seed=1, warm_up=1)


def test_a_lesson_comes_out_the_same_again():
    first, second = taught(FEW), taught(FEW)
    assert first.losses == second.losses
    assert not first.diverged
    for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert a.equal(b)


def test_every_way_of_sampling_starts_from_the_same_weights():
    starts = []
    for groups in (1, 4, 8):
        lesson = Lesson(SPACE.widest().full, 1, 8, 1e-3, 5, space=SPACE, groups=groups, warm_up=1)
        starts.append(Learner(lesson.run, Processes(Share(), torch.device("cpu"))).network.state_dict())
    for name, tensor in starts[0].items():
        assert all(tensor.equal(start[name]) for start in starts[1:])


def test_masks_teach_what_slices_teach():
    lesson = Lesson(SPACE.widest().full, 2, 8, 1e-3, 5, space=SPACE, groups=4, warm_up=1)
    sliced, masked = taught(lesson).losses, taught(replace(lesson, masked=True)).losses
    assert masked == pytest.approx(sliced, rel=1e-4)


def test_without_its_residual_a_reduction_is_another_and_afterwards_it_is_as_it_was():
    before = ResidualReduction.residual
    assert taught(replace(FEW, residual=False)).losses != taught(FEW).losses
    assert ResidualReduction.residual is before


def test_a_loss_that_is_not_finite_ends_the_lesson_and_is_told():
    course = taught(replace(FEW, steps=60, rate=1e3), range(1, 61), lambda step, _: {"of": step})
    assert 1 < course.diverged < 60
    assert [one["of"] for one in course.read] == list(range(1, course.diverged))


def test_judging_is_what_the_plain_network_says():
    trained, images = taught(FEW).network, pairs.validation(300)
    trained.eval()
    pixels = torch.from_numpy(images.pixels)[:, None].expand(-1, 3, -1, -1)
    with torch.inference_mode():
        logits = trained.body(normalised(pixels, PREPROCESSING, torch.device("cpu")))
        entropy = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(images.labels)))
    (found,) = judged(trained, [Subnet.whole(FEW.arch)], images)
    assert found.cross_entropy == pytest.approx(entropy, rel=1e-5)
    assert found.top1 == (logits.argmax(1).numpy() == images.labels).mean()


def test_the_space_is_as_wide_as_the_experiment_wants():
    for stage in SPACE.stages:
        assert max(stage.heads) >= 4 * min(stage.heads)
        assert max(stage.hidden) >= 4 * min(stage.hidden)
        assert (stage.blocks - len(stage.droppable), stage.blocks) == (2, 8)
    assert max(SPACE.stages[0].widths) == 4 * min(SPACE.stages[0].widths)
    assert macs(SPACE.widest().arch) > 15 * macs(SPACE.narrowest().arch)


def test_what_is_read_is_of_the_step_that_it_says():
    read = taught(FEW, (1, 3), lambda step, _: {"seen": step}).read
    assert read == ({"step": 1, "seen": 1}, {"step": 3, "seen": 3})


@pytest.mark.parametrize(("entropy", "counts"), [(1.5, 1.5), (None, CHANCE), (float("nan"), CHANCE), (9.0, CHANCE)])
def test_what_is_worse_than_chance_counts_as_chance(entropy, counts):
    assert counted(entropy) == counts


def test_ranked_subnets_are_as_many_as_the_verdict_wants_and_different():
    assert len({subnet.arch.fingerprint for subnet in sampling.ranked_subnets()}) == sampling.RANKED
    costs = [macs(subnet.arch) for subnet in sampling.ranked_subnets()]
    assert costs == sorted(costs)
    assert costs[-1] > 10 * costs[0]
