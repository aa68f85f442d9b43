"""What a runner changes for the whole process is as before once it is closed, or could not be opened."""

from __future__ import annotations

import pytest
import torch

from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.runners.torch_settings import torch_threads


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_torchs_threads(artifact):
    with RUNNERS["torch"].open(artifact, Options(threads=1)):
        assert torch.get_num_threads() == 1
        with RUNNERS["torch"].open(artifact, Options(threads=2)):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_torchs_threads_where_it_cannot_be_opened(artifact):
    class Broken:
        source, precision, arch = "broken", "fp32", artifact.arch
        input, image_size, for_runner = artifact.input, artifact.image_size, ""

        def module(self):
            assert torch.get_num_threads() == 1
            raise BadInput("no weights")

    with pytest.raises(BadInput, match="no weights"):
        RUNNERS["torch"].open(Broken(), Options(threads=1))
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_threads_for_a_while():
    seen = []

    def fail():
        with torch_threads(2):
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [2]
    assert torch.get_num_threads() == 3
