"""JSON documents that hold their own sha256, so that a single changed byte is seen: manifests, engines' reports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.reading import parse_json


@dataclass(frozen=True)
class SealedFormat:
    """One kind of such documents."""

    what: str  # it is, for messages
    field: str  # that holds the hash
    schema: int  # the newest that this package knows; the field `schema` of a document says which it has
    remedy: str  # how to have another one

    def dump(self, body: Mapping[str, object]) -> bytes:
        """Return the document's file: sorted, indented JSON, the same bytes for the same data."""
        return _dump({**body, self.field: hashlib.sha256(_dump(body)).hexdigest()})

    def read(self, content: bytes, name: str) -> dict[str, object]:
        """Return what `dump` was given. Raise `BadInput`, which begins with `name`, where a single value differs."""
        try:
            body = parse_json(content, name)
        except BadInput as error:
            raise BadInput(f"{error}; {self.remedy}") from None
        schema = body.get("schema") if isinstance(body, dict) else None
        if not isinstance(body, dict) or type(schema) is not int:
            raise BadInput(f"{name} must be {self.what}, a JSON object with a schema number; {self.remedy}")
        if schema > self.schema:
            raise BadInput(
                f"{name} must have schema {self.schema} or less, found {shown(schema, 20)}; use a newer resnas"
            )
        digest = body.pop(self.field, None)
        try:
            intact = digest == hashlib.sha256(_dump(body)).hexdigest()
        except RecursionError:  # nested too deeply to be ours
            intact = False
        if not intact:
            raise BadInput(f"{name} was changed after it was written; {self.remedy}")
        return body


def _dump(body: object) -> bytes:
    """Return ASCII alone, since a name may come from a file's name and hold what UTF-8 cannot."""
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode("ascii")
