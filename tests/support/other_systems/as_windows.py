"""A plugin of pytest, `-p support.other_systems.as_windows`: tests run in a process that looks like one of Windows."""

from support.other_systems.windows import become

become()
