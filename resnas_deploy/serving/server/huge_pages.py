"""Has a server and its models ask the kernel for huge pages: 2 MiB of memory in one piece, not 512 of them anywhere.

A network reads all of its weights for each batch. Which pages of 4 KiB they lie in is chance, drawn anew by each
process: two servers of the same model differ by several percent for as long as they run. Huge pages leave little to it.
"""

from __future__ import annotations

from collections.abc import MutableMapping

VARIABLE = "GLIBC_TUNABLES"
# 1: malloc asks by madvise(2), where the kernel's transparent huge pages are on request (glibc manual, "Memory
# Allocation Tunables"; since 2.35, and one before passes over it). It can be said when a process starts, not later.
TUNABLE = "glibc.malloc.hugetlb"


def ask_for_huge_pages(environment: MutableMapping[str, str]) -> None:
    """Set glibc's tunable in an environment, which child processes inherit. One that the user has set stays."""
    given = [each for each in environment.get(VARIABLE, "").split(":") if each]
    if not any(each.partition("=")[0] == TUNABLE for each in given):
        environment[VARIABLE] = ":".join([*given, f"{TUNABLE}=1"])
