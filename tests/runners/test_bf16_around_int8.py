"""Int8 networks whose other operations OpenVINO computes in bf16."""

from __future__ import annotations

import numpy as np
import pytest
from support.little_engine import exported

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.images.samples import noise
from resnas_deploy.precision import tolerance_of
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import bf16_problem
from resnas_deploy.runners.registry import RUNNERS

pytest.importorskip("openvino", reason="openvino is missing")
KIND = RUNNERS["openvino-bf16"]


@pytest.mark.skipif(bf16_problem("cpu") is not None, reason="this CPU does not compute in bf16")
def test_products_stay_int8_and_the_rest_is_bf16(tmp_path):
    network = exported(tmp_path / "eight", precision="int8", for_engine=False)
    images = noise(3, network.image_size)
    with KIND.open(network, Options(1, profile=True)) as runner, RUNNERS["openvino"].open(network, Options(1)) as plain:
        assert runner.computes == plain.computes == "int8"
        assert runner.boundary.endswith("told to compute what is not quantised in bf16")
        assert "told" not in plain.boundary
        found, wanted = runner.run(images)[OUTPUT], plain.run(images)[OUTPUT]
        kernels = {info.exec_type for info in runner._request.get_profiling_info()}
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 0 < error < tolerance_of("int8")
    assert any(kernel.endswith("_bf16") for kernel in kernels)
    assert any(kernel.startswith("brgemm") and kernel.lower().endswith("_i8") for kernel in kernels) or not any(
        kernel.startswith("brgemm") for kernel in kernels
    )
