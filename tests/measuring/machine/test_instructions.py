"""The instruction set of a CPU: from the words of the kernel, told where the machine is, and part of its name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from resnas_deploy.files import records
from resnas_deploy.measuring.machine.description import Machine, instructions_here, this_machine
from resnas_deploy.measuring.machine.instructions import in_words, instruction_set
from resnas_deploy.runners.base import usable_cores

MASKED = Machine("Intel Xeon", 2, "Linux x86_64", "3.11.2", instructions="AVX512-VNNI, AVX512-BF16")
WHOLE = replace(MASKED, instructions="AMX-INT8, AMX-BF16, AVX512-VNNI, AVX512-BF16")
BEFORE = replace(MASKED, instructions="")  # as it was written down before


def cpuinfo(*flags, key="flags"):
    """The kernel's text of a core for each of `flags`."""
    return "\n\n".join(f"processor\t: {core}\n{key}\t\t: fpu {words}" for core, words in enumerate(flags))


@pytest.mark.parametrize(
    ("text", "found", "words"),
    [
        (
            cpuinfo("avx avx2 avx512f avx512_bf16 avx512_vnni avx_vnni amx_bf16 amx_tile amx_int8"),
            "AMX-INT8, AMX-BF16, AVX512-VNNI, AVX512-BF16",
            "AMX-INT8, AMX-BF16, AVX512-VNNI, AVX512-BF16",
        ),
        (cpuinfo("avx avx2 avx512f avx512_vnni"), "AVX512-VNNI", "AVX512-VNNI, without AMX"),
        (cpuinfo("avx avx2 avx512f"), "AVX512", "AVX512, without AMX"),
        (cpuinfo("avx avx2 avx_vnni"), "AVX-VNNI", "AVX-VNNI, without AMX"),
        (cpuinfo("avx avx2"), "AVX2", "AVX2, without AMX"),
        (cpuinfo("sse4_2"), "none", "neither AMX nor AVX"),
        (cpuinfo("avx2 avx512f avx512_vnni", "avx2"), "AVX2", "AVX2, without AMX"),  # what every core has
        (cpuinfo("asimd asimddp i8mm bf16 sve", key="Features"), "SVE, I8MM, BF16, ASIMDDP, ASIMD", None),
        ("cpu : POWER9\n", "unknown", "an unknown instruction set"),
        ("", "unknown", "an unknown instruction set"),
    ],
)
def test_what_the_kernel_says(text, found, words):
    assert instruction_set(text) == found
    assert in_words(found) == (words or found)


def test_a_file_that_cannot_be_read_is_unknown(tmp_path):
    assert instructions_here(tmp_path / "none") == "unknown"
    assert this_machine(1, tmp_path / "none", (), lambda: ()).instructions == "unknown"


def test_this_machine_tells_its_own():
    assert this_machine(usable_cores()).instructions == instruction_set(Path("/proc/cpuinfo").read_text())


def test_machines_of_one_processor_are_told_apart():
    """A virtual machine has of its host's instruction set what the host lets through."""
    assert len({MASKED.slug, WHOLE.slug, BEFORE.slug}) == 3
    assert MASKED.slug.startswith("intel-xeon-2-cores-avx512-vnni-")
    assert WHOLE.differences(MASKED) == [f"instructions: {MASKED.instructions} there, {WHOLE.instructions} here"]


def test_what_was_written_before_opens_and_keeps_its_name():
    assert "instructions" not in BEFORE.to_json()
    for machine in (BEFORE, MASKED):
        assert records.from_json(Machine, json.loads(json.dumps(machine.to_json())), "machine") == machine
    assert MASKED.is_called(BEFORE.slug)
    assert MASKED.is_called(MASKED.slug)
    assert not MASKED.is_called(WHOLE.slug)
    assert MASKED.differences(BEFORE) == BEFORE.differences(MASKED) == []  # it is not told, so no other one
