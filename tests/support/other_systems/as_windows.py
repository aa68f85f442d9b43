"""A plugin of pytest, `-p support.other_systems.as_windows`: tests run in a process that looks like one of Windows."""

import importlib
import sys
import types

from support.other_systems.windows import become

for name in ("hypothesis.extra.numpy", "hypothesis.strategies", "jsonschema"):  # which ask it of their own
    importlib.import_module(name)
sys.modules.setdefault("colorama", types.ModuleType("colorama"))  # which pytest imports there, for colours
become()
