"""The reference workload made small, for tests that do not read its time."""

from __future__ import annotations

SIZES = {"_PRODUCTS": 50, "_STREAMED": 200, "_AT_ONCE": 50}


def make_small(put=setattr):
    """Do it in this process; `put` is how."""
    from resnas_deploy.measuring import reference

    for name, size in SIZES.items():
        put(reference, name, size)
