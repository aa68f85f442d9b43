"""MATLAB's files as SciPy writes them, compressed or not, read without SciPy; damaged ones are a `ValueError`."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from resnas_deploy.data.matlab import structures


def written(*, compressed, kind=float):
    rows = np.zeros((3, 1), [("number", "O"), ("other", "O"), ("text", "O")])
    for place in range(3):
        rows[place, 0] = (np.array([[kind(300 * place)]]), np.zeros((2, 2)), f"n{place} \u00fc")
    file = io.BytesIO()
    savemat(file, {"before": np.arange(5), "rows": rows, "after": "x"}, do_compression=compressed)
    return file.getvalue()


WHOLE = (written(compressed=False), written(compressed=True))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", [float, np.float32, np.int16, np.uint16, np.int64])
def test_structures_as_scipy_writes_them(compressed, kind):
    found = list(structures(written(compressed=compressed, kind=kind), "rows", ("text", "number")))
    assert found == [{"number": 300.0 * place, "text": f"n{place} \u00fc"} for place in range(3)]
    assert next(structures(WHOLE[0], "rows", ("other",))) == {"other": 0.0}


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "rows", "no MATLAB file of level 5"),
        (WHOLE[0], "none", "no array none"),
        (WHOLE[0], "before", "none of structures"),
        (WHOLE[0][:-20], "after", "cut short"),
        (WHOLE[1][:200], "rows", "cut short"),
    ],
)
def test_what_is_not_there_is_told(content, name, said):
    with pytest.raises(ValueError, match=said):
        list(structures(content, name, ("text",)))


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=8)), min_size=1, max_size=4))
def test_damaged_bytes_are_a_value_error_or_other_values(content, changes):
    """SciPy's reader ends the process on some of these."""
    for place, other in changes:
        place %= len(content)
        content = content[:place] + other + content[place + len(other) :]
    with suppress(ValueError):
        for row in structures(content, "rows", ("text", "number")):
            assert row.keys() == {"text", "number"}
