"""What many tests check: that a call is refused in one line, and that numbers are near each other."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from support.places import ROOT

from resnas_deploy.errors import BadInput, ResnasError


def refusal(call: Callable[[], object], kind: type[ResnasError] = BadInput) -> str:
    """The message of the `BadInput`, or other kind, that `call` must raise: one line that a terminal can show."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable(), repr(message)
    return message


def assert_close(found: object, expected: object, tolerance: float, what: str) -> None:
    """Largest absolute difference at most `tolerance`; both are named where it is not."""
    difference = np.abs(np.asarray(found) - np.asarray(expected)).max()
    assert difference <= tolerance, f"{what}: largest difference {difference:.3g}, tolerance {tolerance:g}"


def check_schema(name: str, document: object) -> None:
    """The document, as JSON has it, is of the schema of that name in docs/schemas."""
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    Draft202012Validator(schema).validate(json.loads(json.dumps(document)))
