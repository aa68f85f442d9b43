"""The instruction set of a CPU, as far as the speed of networks hangs on it, from what the kernel says of each core.

Two machines whose CPU has one name may differ in it: a virtual machine has of its host's what the host lets through.
The kernel's words are those of arch/x86/include/asm/cpufeatures.h and of Documentation/arch/arm64/elf_hwcaps.rst.
"""

from __future__ import annotations

from functools import reduce

UNKNOWN, NONE = "unknown", "none"
AMX = "AMX"
# What has kernels of its own in runtimes, the fastest first: products of int8 and of bf16.
_X86 = {
    "amx_int8": "AMX-INT8",
    "amx_bf16": "AMX-BF16",
    "amx_fp16": "AMX-FP16",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "avx512_fp16": "AVX512-FP16",
    "avx_vnni": "AVX-VNNI",
}
_X86_WIDTHS = {"avx512f": "AVX512", "avx2": "AVX2", "avx": "AVX"}  # of vectors, where nothing above tells it
_ARM = {"sve2": "SVE2", "sve": "SVE", "i8mm": "I8MM", "bf16": "BF16", "asimddp": "ASIMDDP", "asimd": "ASIMD"}


def instruction_set(cpuinfo: str) -> str:
    """Return what every core has, such as `AVX512-VNNI, AVX512-BF16`, `AVX2`, or on ARM `I8MM, BF16, ASIMDDP, ASIMD`.

    `cpuinfo` is the text of /proc/cpuinfo. What follows from something that is named is left out: AVX512-VNNI has
    vectors of AVX512. `none` is an x86 without AVX; `unknown` is where the kernel does not tell.
    """
    cores: dict[str, list[frozenset[str]]] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        cores.setdefault(key.strip(), []).append(frozenset(value.split()))
    if "flags" in cores:
        return _x86(reduce(frozenset.__and__, cores["flags"]))
    if "Features" in cores:
        features = reduce(frozenset.__and__, cores["Features"])
        return ", ".join(name for flag, name in _ARM.items() if flag in features) or NONE
    return UNKNOWN


def in_words(instructions: str) -> str:
    """Return an instruction set as it stands after "a CPU with": what matters most and is missing is named too."""
    if instructions in ("", UNKNOWN):
        return "an unknown instruction set"
    if instructions == NONE:
        return "neither AMX nor AVX"
    on_x86 = "AVX" in instructions and AMX not in instructions
    return f"{instructions}, without {AMX}" if on_x86 else instructions


def _x86(flags: frozenset[str]) -> str:
    found = [name for flag, name in _X86.items() if flag in flags]
    if "AVX512-VNNI" in found and "AVX-VNNI" in found:
        found.remove("AVX-VNNI")  # the same for narrower vectors
    if not any("AVX" in name for name in found):
        found += [name for flag, name in _X86_WIDTHS.items() if flag in flags][:1]
    return ", ".join(found) or NONE
