"""The runners that a graph can be written for alone: with operators that no other knows, where these are faster."""

from __future__ import annotations

FOR_RUNNERS = ("ort-cpu",)
