"""A plugin of pytest, `-p support.other_systems.as_macos`: tests run in a process that looks like one of macOS."""

from support.other_systems.macos import become

become()
