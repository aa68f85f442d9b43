"""What TensorRT for RTX itself says to each option, which is why it is taken or refused."""

from __future__ import annotations

import io

import onnx
import pytest
from onnx import inliner
from support.checks import refusal
from support.little_engine import RTX, needs_builder

from resnas_deploy.engines.asked import check_asked
from resnas_deploy.engines.builder import _logger
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.errors import NotAvailable
from resnas_deploy.runners.devices import gpus

needs_no_gpu = pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")


@pytest.fixture(scope="module")
def answer(little):
    """A function: the bytes that the real builder makes once `setting` has changed its configuration, and its log."""
    trt = pytest.importorskip("tensorrt_rtx")
    model = inliner.inline_local_functions(onnx.load(little.model)).SerializeToString()

    def build(setting):
        log = io.StringIO()
        logger = _logger(trt, log)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        assert trt.OnnxParser(network, logger).parse(model)
        config = builder.create_builder_config()
        profile = builder.create_optimization_profile()
        profile.set_shape("images", *[(2, 3, 112, 112)] * 3)
        config.add_optimization_profile(profile)
        setting(trt, config)
        made = builder.build_serialized_network(network, config)
        return (None if made is None else bytes(made)), log.getvalue()

    return build


@needs_builder
def test_its_engines_are_the_same_at_every_level(answer):
    def at(level):
        return lambda _trt, config: setattr(config, "builder_optimization_level", level)

    assert answer(at(0))[0] == answer(at(5))[0] is not None


@needs_builder
def test_it_has_no_hardware_compatibility(answer):
    def compatible(trt, config):
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        assert config.hardware_compatibility_level == trt.HardwareCompatibilityLevel.NONE

    assert "setHardwareCompatibilityLevel() is unsupported" in answer(compatible)[1]


@needs_builder
@needs_no_gpu
@pytest.mark.parametrize("flags", [["REFIT"], ["STRIP_PLAN", "REFIT_IDENTICAL"]], ids=str)
def test_it_builds_nothing_refittable_without_a_gpu(answer, flags):
    def set_flags(trt, config):
        for name in flags:
            config.set_flag(getattr(trt.BuilderFlag, name))

    made, log = answer(set_flags)
    assert made is None
    assert "ERROR IBuilder::buildSerializedNetwork" in log


@needs_no_gpu
@pytest.mark.parametrize("name", ["refittable", "strip_weights"])
def test_which_is_said_before_anything_is_built(name):
    with pytest.raises(NotAvailable, match=f"tensorrt-rtx builds with `{name}` on a GPU alone, and ") as caught:
        check_asked(RTX, BuildOptions(**{name: True}))
    assert caught.value.exit_code == 5


def test_an_unknown_compatibility():
    line = refusal(lambda: check_asked(TARGETS["tensorrt"], BuildOptions(hardware_compatibility="all")))
    assert line == "`hardware_compatibility` must be one of ampere+, same-capability, found 'all'"
