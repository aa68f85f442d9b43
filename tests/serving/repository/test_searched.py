"""A setting that was searched, as a model's: what is taken of it, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from support.checks import refusal
from support.made_up_measuring import report
from support.triton_server import needs_server, started_server

import resnas_deploy as resnas
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.statistics import Interval
from resnas_deploy.measuring.throughput.found import BestSetting, ThroughputSearch, Tried
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.serving.repository.config import parse
from resnas_deploy.serving.repository.settings import Batching


@pytest.fixture
def searched(mini_artifact, tmp_path):
    """A function that writes a result whose best setting is that of `best`, on this machine."""
    artifact = open_artifact(mini_artifact)

    def write(*, runner="ort-cpu", limit=None, digest=None, found=True, machine=None, **best):
        setting = BestSetting(
            source=str(mini_artifact),
            label=artifact.label,
            runner=runner,
            **{"streams": 2, "threads": 3, "batch": 4, "batch_p50_ms": 20.0, "batch_p99_ms": 30.0} | best,
            images_per_second=Interval(80.0, 79.0, 81.0),
            smallest_batch=1,
            over_smallest_batch=Interval(2.0, 1.9, 2.1),
            one_stream_batch=8,
            over_one_stream=Interval(1.2, 1.1, 1.3),
        )
        search = ThroughputSearch(
            source=str(mini_artifact),
            label=artifact.label,
            digest=digest or artifact.digest,
            precision="fp32",
            runner=runner,
            most_settings=40,
            seconds=9.0,
            left_out=0,
            tried=(Tried(2, 3, 4, 80.0, 20.0),),
            latency_limit_ms=limit,
            best=setting if found else None,
        )
        made = replace(report(machine=machine or this_machine(usable_cores())), throughput=(search,))
        path = tmp_path / "best.json"
        made.write(path)
        return path

    return write


def exported(artifact, folder, setting, **options):
    done = resnas.triton.export(artifact, folder / "models", setting=setting, **options)
    config = parse((folder / "models" / "mini" / "config.pbtxt").read_text(), "config.pbtxt")
    return done, config


def test_the_setting_is_in_the_configuration(searched, mini_artifact, tmp_path):
    done, config = exported(mini_artifact, tmp_path, searched())
    assert config.instance_group[0].count == 2
    assert config.parameters["intra_op_thread_count"].string_value == "3"
    assert config.max_batch_size == 4
    assert list(config.dynamic_batching.preferred_batch_size) == [4]
    assert config.dynamic_batching.max_queue_delay_microseconds == 2_000  # a tenth of a batch
    assert done.notes == (
        "mini has 2 instances of 3 threads, batches of 4, and a request waits 2.0 ms at most for others; measured with "
        "80.0 images/s, 30.0 ms a batch (p99)",
    )
    resnas.triton.check(tmp_path / "models")


@pytest.mark.parametrize(("limit", "delay"), [(31.5, 1_500), (60.0, 2_000), (29.0, 0)])
def test_a_request_waits_no_longer_than_its_limit_leaves(searched, mini_artifact, tmp_path, limit, delay):
    _, config = exported(mini_artifact, tmp_path, searched(limit=limit))
    assert config.dynamic_batching.max_queue_delay_microseconds == delay


def test_single_images_wait_for_nothing(searched, mini_artifact, tmp_path):
    done, config = exported(mini_artifact, tmp_path, searched(batch=1, streams=1, threads=1))
    assert not config.dynamic_batching.preferred_batch_size
    assert config.dynamic_batching.max_queue_delay_microseconds == Batching().queue_delay_us == 0
    assert "1 instance of 1 thread, batches of 1" in done.notes[0]


def test_another_machine_is_told_in_a_line(searched, mini_artifact, tmp_path):
    there = replace(this_machine(usable_cores()), cpu="another CPU")
    done, _ = exported(mini_artifact, tmp_path, searched(machine=there))
    assert done.notes[1].startswith("that was measured on another machine: cpu: another CPU there, ")
    assert len(done.notes) == 2


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"digest": "ab" * 32}, r"must hold a setting of .*, found those of 'mini fp32 112'; make one by"),
        ({"runner": "openvino"}, "a runner that Triton serves a graph with, ort-cpu, found openvino"),
        ({"found": False}, "must hold a best setting of mini fp32 112, found a search that ended without one"),
        ({"streams": 65}, "must have from 1 to 64 streams in its best setting, found 65"),
        ({"threads": 0}, "must have from 1 to 1024 threads in its best setting, found 0"),
        ({"batch_p50_ms": -50.0}, "must tell a batch's time, of up to 1e\\+09 ms, found -50; measure it again"),
        ({"batch_p50_ms": 1e300}, "must tell a batch's time, of up to 1e\\+09 ms, found 1e\\+300"),
        ({"batch_p99_ms": 0.0}, "must tell a batch's time, of up to 1e\\+09 ms, found 0"),
        ({"batch": 9}, "the largest batch must be from 1 to the exported 8, found 9"),
        ({"batch": 0}, "the largest batch must be from 1 to the exported 8, found 0"),
    ],
)
def test_a_result_that_does_not_fit(searched, mini_artifact, tmp_path, result, said):
    setting = searched(**result)
    message = refusal(lambda: resnas.triton.export(mini_artifact, tmp_path / "models", setting=setting))
    assert re.search(said, message), message
    assert not (tmp_path / "models").exists()


def test_a_result_without_a_search(mini_artifact, tmp_path):
    report().write(tmp_path / "plain.json")
    message = refusal(lambda: resnas.triton.export(mini_artifact, tmp_path / "models", setting=tmp_path / "plain.json"))
    assert "must hold a setting that was searched, found a report without; make one by: `bench(" in message


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"instances": 2}, "2"),
        ({"threads": 3}, "3"),
        ({"max_batch": 4}, "4"),
        ({"measured": "x.json"}, "'x.json'"),
        ({"gpu": True}, "both"),
        ({"backend": "tensorrt"}, "'tensorrt'"),
        ({"backend": "onnxruntime", "accelerator": "openvino"}, "'openvino'"),
    ],
)
def test_what_a_setting_says_is_not_said_again(searched, mini_artifact, tmp_path, options, found):
    setting = searched()
    message = refusal(lambda: resnas.triton.export(mini_artifact, tmp_path / "models", setting=setting, **options))
    name = list(options)[-1]
    assert message == f"`{name}` must be left out with `setting`, which says it, found {found}; leave one out"


@pytest.mark.slow
@needs_server
def test_a_real_server_serves_it_so(searched, mini_artifact, tmp_path):
    """The server's own view of the model, and its answers, as `check` compares them."""
    from tritonclient import grpc

    exported(mini_artifact, tmp_path, searched(threads=1))
    with started_server(tmp_path / "models") as running:
        resnas.triton.check(tmp_path / "models", url=f"grpc://{running.grpc}", key_file=running.key, threads=1)
        client = grpc.InferenceServerClient(running.grpc)
        config = client.get_model_config("mini").config
        client.close()
    assert config.instance_group[0].count == 2
    assert config.max_batch_size == 4
    assert config.dynamic_batching.max_queue_delay_microseconds == 2_000
