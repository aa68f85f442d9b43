"""Records are written as JSON and read back strictly, and their schema says the same as their reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NotRequired, TypedDict

import pytest
from json_schema import schema_of
from jsonschema import Draft202012Validator, ValidationError
from support.checks import refusal

from resnas_deploy.errors import BadInput
from resnas_deploy.files.records import as_json, from_json, to_json


@dataclass(frozen=True)
class Leaf:
    """The inner one."""

    name: str
    sizes: tuple[int | float, int | float]

    def __post_init__(self) -> None:
        if not self.name:
            raise BadInput("name must not be empty")


@dataclass(frozen=True)
class Tree:
    """The outer one.

    Its second paragraph is not in the schema.
    """

    leaves: tuple[Leaf, ...]
    kind: Literal["oak", "elm"]
    height: float
    shares: Mapping[str, float] | None = None
    mark: str | None = field(default=None, metadata=as_json(null=True))
    reach: range = field(default=range(2), metadata=as_json("from_to", tuple[int, int], lambda ends: range(*ends)))
    extra: Mapping[str, object] = field(default_factory=dict)
    DERIVED: ClassVar = {"count": int}

    def to_json(self):
        written = to_json(self)
        return {"count": len(self.leaves), **written, "from_to": [self.reach.start, self.reach.stop]}


TREE = Tree((Leaf("a", (1, 2.5)),), "oak", 3.0, {"x": 0.5}, None, range(1, 4), {"any": [{"thing": None}]})
WRITTEN = {
    "count": 1,
    "leaves": [{"name": "a", "sizes": [1, 2.5]}],
    "kind": "oak",
    "height": 3.0,
    "shares": {"x": 0.5},
    "mark": None,
    "from_to": [1, 4],
    "extra": {"any": [{"thing": None}]},
}
VALIDATOR = Draft202012Validator(schema_of(Tree, "tree"))


def test_what_is_written_is_read_back():
    assert TREE.to_json() == WRITTEN
    found = from_json(Tree, json.loads(json.dumps(WRITTEN)), "tree")
    assert found == TREE
    assert [type(size) for size in found.leaves[0].sizes] == [int, float]
    VALIDATOR.validate(WRITTEN)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"leaves": {}}, "tree.leaves must be a list, found {}"),
        ({"leaves": [{"name": "a"}]}, "tree.leaves[0].sizes must be there, found none"),
        ({"leaves": [{"name": "a", "sizes": [1]}]}, "tree.leaves[0].sizes must be a list of 2, found a list of 1"),
        ({"leaves": [{"name": "a", "sizes": [1, "2"]}]}, "tree.leaves[0].sizes[1] must be an integer, found '2'"),
        ({"leaves": [{"name": "a", "sizes": [1, 2], "b": 1}]}, "tree.leaves[0] has the unknown field 'b'; known are"),
        ({"kind": "ash"}, "tree.kind must be one of oak, elm, found 'ash'"),
        ({"kind": 1}, "tree.kind must be one of oak, elm, found 1"),
        ({"height": "3"}, "tree.height must be a finite number, found '3'"),
        ({"height": True}, "tree.height must be a finite number, found True"),
        ({"shares": [0.5]}, "tree.shares must be a JSON object"),
        ({"from_to": [1, 2, 3]}, "tree.from_to must be a list of 2"),
        ({"extra": 1}, "tree.extra must be a JSON object, found 1"),
        ({"count": "1"}, "tree.count must be an integer, found '1'"),
        ({"foreign": 1}, "tree has the unknown field 'foreign'"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_and_the_schema_refuses_it_too(change, said):
    document = {**WRITTEN, **change}
    assert refusal(lambda: from_json(Tree, document, "tree")).startswith(said)
    with pytest.raises(ValidationError):
        VALIDATOR.validate(document)


def test_what_contradicts_itself_is_said_of_its_place():
    document = {**WRITTEN, "leaves": [{"name": "", "sizes": [1, 2]}]}
    assert refusal(lambda: from_json(Tree, document, "tree")) == "tree.leaves[0]: name must not be empty"


def test_what_people_write_may_leave_out_what_has_a_default():
    few = {"count": 0, "leaves": [], "kind": "elm", "height": 1}
    assert from_json(Tree, few, "", defaults=True) == Tree((), "elm", 1.0)
    assert refusal(lambda: from_json(Tree, few, "")) == "from_to must be there, found none"
    assert refusal(lambda: from_json(Tree, [], "")) == "the document must be a JSON object, found a list of 0"


class Document(TypedDict):
    """A typed dictionary."""

    leaf: Leaf
    note: NotRequired[str]


def test_the_schema_of_a_typed_dictionary():
    schema = schema_of(list[Document], "documents")
    assert schema["items"] == {"$ref": "#/$defs/Document"}
    assert schema["$defs"]["Document"]["required"] == ["leaf"]
    assert schema["$defs"]["Leaf"]["description"] == "The inner one."
    Draft202012Validator(schema).validate([{"leaf": WRITTEN["leaves"][0]}])
    with pytest.raises(TypeError, match="a record, a typed dictionary or plain types"):
        schema_of(complex, "none")
