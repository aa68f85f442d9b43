"""Write docs/schemas: the JSON Schema of each document that files hold or `--json` prints. `make docs` runs it."""

from __future__ import annotations

import json
from pathlib import Path

from documents import DOCUMENTS
from json_schema import schema_of

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"


def written() -> dict[str, str]:
    """Return the content of each file by its name."""
    return {
        f"{name}.json": json.dumps(schema_of(kind, f"resnas {name}"), indent=1) + "\n"
        for name, kind in DOCUMENTS.items()
    }


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for name, text in written().items():
        (SCHEMAS / name).write_text(text)
