"""The memory that a served network has (serving/server/huge_pages.py), for a benchmark that compares with serving."""

from __future__ import annotations

import os
import sys

from resnas_deploy.serving.server.huge_pages import ask_for_huge_pages


def begin_again_with_huge_pages() -> None:
    """Start this program anew where it did not ask for huge pages: malloc reads the variable as a program starts."""
    before = dict(os.environ)
    ask_for_huge_pages(os.environ)
    if before != dict(os.environ):
        os.execv(sys.executable, [sys.executable, *sys.argv])
