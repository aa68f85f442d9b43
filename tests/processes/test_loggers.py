"""Loggers that say nothing but errors for a while."""

from __future__ import annotations

import logging

import pytest

from resnas_deploy.processes.loggers import errors_only


@pytest.mark.parametrize("name", ["", "another.package"])
def test_errors_alone_are_said_until_the_block_ends_however_it_ends(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(name)
    before = logger.level

    def talk() -> None:
        logger.warning("advice")
        logger.error("an error")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), errors_only(name):
        talk()
    assert logger.level == before
    logger.warning("after")
    assert caplog.messages == ["an error", "after"]
