"""The manifest says what an artifact is, and no changed or foreign byte of it is believed."""

from __future__ import annotations

import bisect
import hashlib
import json
import string
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import SMALL, arch_specs
from support.places import GOLDEN

from resnas_deploy.arch.alignment import ALIGNMENTS
from resnas_deploy.artifact.headroom import OwnArithmetic, Peak
from resnas_deploy.artifact.manifest import SCHEMA, Accuracy, Manifest, Verification
from resnas_deploy.batch import MAX_BATCH, BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.precision import NOT_FINITE, PRECISIONS
from resnas_deploy.weights.checkpoint import Provenance, file_digest

OWN = OwnArithmetic(
    type="fp16",
    largest=65504.0,
    margin=0.25,
    tolerance=5e-3,
    error=1e-3,
    peaks={"stem": Peak(12.5, "stem.add (Add)"), "head": Peak(1310.08, "head.linear (Gemm)")},
)
VERIFICATION = Verification(
    reference="torch 2",
    runner="ort-cpu",
    tolerance=1e-5,
    error=3e-7,
    batches=(1, 2, 8),
    images=12,
    real_images=("cat.jpg",),
    top1_agreement=12,
    real_agreement=1,
    accuracy=Accuracy("demo", 1000, 90.5, 90.25, 0.5),
    element_errors={"stem": 0.01, "stage1.block1": 0.05, "head": 0.02},
    own=OWN,
)
QUANTISATION = {
    "around": "fp32",
    "kept": ["the head", "norms"],
    "calibration": {"source": "demo", "images": 128, "sha256": "cd" * 32},
}
MANIFEST = Manifest(
    name="small",
    arch=SMALL,
    precision="fp32",
    alignment=1,
    batch=BatchRange(1, 8),
    preprocessing=Preprocessing.for_image_size(SMALL.image_size),
    class_names=("cat", "Käfer", "犬"),
    provenance=Provenance(True, ("imported",)),
    weights_sha256="ab" * 32,
    spelling={"attention": "operator"},
    kept_in_fp32=("softmax",),
    quantisation=QUANTISATION,
    tools={"resnas": "0.1.0"},
    files={"model.onnx": "0" * 64, "weights.safetensors": "1" * 64},
    verification=VERIFICATION,
)
CONTENT = MANIFEST.to_bytes()

texts = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too: file names may hold them
numbers, percentages, counts = st.floats(0, 1e300), st.floats(0, 100), st.integers(0, 10**9)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
file_names = st.text(string.ascii_letters, min_size=1, max_size=8)
verifications = st.builds(
    Verification,
    reference=texts,
    runner=texts,
    tolerance=numbers,
    error=numbers,
    batches=st.lists(st.integers(1, 10**9)).map(tuple),
    images=st.just(10**9),
    real_images=st.lists(texts, min_size=3).map(tuple),
    top1_agreement=counts,
    real_agreement=st.integers(0, 3),
    accuracy=st.none()
    | st.builds(
        Accuracy,
        data=texts,
        images=st.integers(1, 10**9),
        reference=percentages,
        graph=percentages,
        max_drop=percentages,
    ),
    element_errors=st.dictionaries(texts, numbers, max_size=3),
    own=st.none()
    | st.builds(
        OwnArithmetic,
        type=texts,
        largest=st.floats(1, 1e38),
        margin=numbers,
        tolerance=numbers,
        error=numbers,
        peaks=st.dictionaries(texts, st.builds(Peak, st.none() | st.floats(0, 1e38), texts), min_size=1, max_size=3),
    ),
)
# Of one architecture: `for_image_size` takes no more than 1792 pixels, and each of the classes must have a name.
manifests = (
    arch_specs()
    .filter(lambda arch: arch.image_size <= 1792)
    .flatmap(
        lambda arch: st.builds(
            Manifest,
            name=texts,
            arch=st.just(arch),
            precision=st.sampled_from(list(PRECISIONS)),
            alignment=st.sampled_from(ALIGNMENTS),
            batch=st.tuples(st.integers(1, MAX_BATCH), st.integers(1, MAX_BATCH)).map(
                lambda pair: BatchRange(*sorted(pair))
            ),
            preprocessing=st.just(Preprocessing.for_image_size(arch.image_size)),
            class_names=st.none() | texts.map(lambda name: (name,) * arch.classes),
            provenance=st.builds(Provenance, trained=st.booleans(), history=st.lists(texts).map(tuple)),
            weights_sha256=digests,
            spelling=st.dictionaries(texts, texts, max_size=3),
            kept_in_fp32=st.lists(texts).map(tuple),
            quantisation=st.none()
            | st.dictionaries(texts, texts | st.lists(texts, max_size=2), min_size=1, max_size=3),
            tools=st.dictionaries(texts, texts, max_size=3),
            files=st.dictionaries(file_names, digests, max_size=3),
            verification=st.none() | verifications,
            for_runner=st.sampled_from(["", "ort-cpu"]),
        )
    )
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def body():
    """The manifest as data, without its own hash."""
    return MANIFEST.to_json()


def signed(data):
    """The bytes of a manifest with that data and the hash that belongs to them, right or not in all else."""
    digest = hashlib.sha256(dumped(data)).hexdigest()
    return dumped({**data, "manifest_sha256": digest})


def dumped(data):
    return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def read(content):
    return Manifest.from_bytes(content)


@settings(deadline=None)
@given(manifests)
def test_written_and_read_again_it_is_the_same(manifest):
    content = manifest.to_bytes()
    assert read(content) == manifest
    assert read(content).to_bytes() == content


def test_the_bytes_are_those_that_these_tests_sign():
    assert signed(body()) == CONTENT
    assert read(CONTENT) == MANIFEST


def test_it_says_what_it_is():
    data = json.loads(CONTENT)
    assert data["schema"] == SCHEMA
    assert data["arch_fingerprint"] == SMALL.fingerprint
    assert data["weights"] == "trained"
    assert data["batch"] == "1:8"
    assert json.loads(replace(MANIFEST, verification=None).to_bytes())["verification"] == "unverified"
    assert json.loads(replace(MANIFEST, provenance=Provenance(False, ())).to_bytes())["weights"] == "untrained"


def test_every_flipped_bit_is_refused():
    for position in range(len(CONTENT)):
        for bit in range(8):
            changed = bytearray(CONTENT)
            changed[position] ^= 1 << bit
            refusal(lambda changed=changed: read(bytes(changed)))


@given(st.integers(0, len(CONTENT) - 1), st.integers(0, 255))
def test_every_changed_byte_is_refused(position, value):
    changed = bytearray(CONTENT)
    changed[position] = value
    if changed != CONTENT:
        assert "manifest.json" in refusal(lambda: read(bytes(changed)))


@given(st.integers(0, len(CONTENT)), st.binary(min_size=1, max_size=4))
@example(len(CONTENT), b"\n")
@example(0, b" ")
@example(0, b"\xef\xbb\xbf")
def test_added_bytes_are_refused(position, added):
    refusal(lambda: read(CONTENT[:position] + added + CONTENT[position:]))


def test_every_shorter_file_is_refused():
    for length in range(len(CONTENT)):
        refusal(lambda length=length: read(CONTENT[:length]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"\xff\xfe\x00",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"schema": "1"}',
        b'{"schema": true}',
        b'{"schema": 1.0}',
        b'{"schema": 1, "name": "\\ud800"}',
        b'{"schema": ' + b"9" * 10_000 + b"}",
        CONTENT.decode().encode("utf-16"),
        CONTENT.replace(b'{\n "alignment"', b'{\n "schema": 1,\n "alignment"', 1),  # a key twice
        CONTENT.replace(b"\n", b"\r\n"),
        dumped({**body(), "manifest_sha256": None}),
        dumped(body()),
    ],
)
def test_other_content_is_refused(content):
    assert content != CONTENT
    refusal(lambda: read(content))


@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a": ', b"}")])
def test_deep_nesting_is_refused(opened, closed):
    def nested(depth):
        return b'{"schema": 1, "arch": ' + opened * depth + b"1" + closed * depth + b"}"

    for depth in (10, 100, 100_000):
        refusal(lambda depth=depth: read(nested(depth)))
    deepest = bisect.bisect(range(10_000), False, key=lambda depth: not _can_be_parsed(nested(depth))) - 1
    for depth in range(deepest - 8, deepest + 4):  # among them what can be read but not be written again
        refusal(lambda depth=depth: read(nested(depth)))


def _can_be_parsed(content):
    try:
        json.loads(content)
    except RecursionError:
        return False
    return True


@pytest.mark.parametrize("schema", [SCHEMA + 1, 10**18, 10**29])
def test_a_newer_schema_asks_for_a_newer_program(schema):
    message = refusal(lambda: read(signed({**body(), "schema": schema})))
    assert "use a newer resnas" in message
    assert len(message) < 200


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "a\\b", "a\nb", "a\0b", "x/../y", "ä", "a b"]
)
def test_only_plain_names_of_files_are_believed(name):
    message = refusal(lambda: read(signed({**body(), "files": {name: "0" * 64}})))
    assert "plain files of its own folder" in message


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, 0, None, ["0" * 64]])
def test_only_hashes_are_believed(digest):
    refusal(lambda: read(signed({**body(), "files": {"model.onnx": digest}})))


@pytest.mark.parametrize("field", sorted(body()))
def test_a_missing_field_is_refused_though_signed(field):
    refusal(lambda: read(signed({key: value for key, value in body().items() if key != field})))


@settings(deadline=None)
@given(st.sampled_from(sorted(body())), json_values)
@example("precision", 7)
@example("alignment", 7)
@example("alignment", 1.0)
@example("alignment", "8")
@example("verification", "verified")
@example("verification", None)
@example("class_names", [])
@example("class_names", [1, 2])
@example("arch_fingerprint", "0" * 16)
@example("weights", "untrained")
@example("schema", 0)
@example("batch", "01:8")
@example("foreign", 1)
def test_another_value_is_refused_though_signed_or_read_as_it_stands(field, value):
    data = {**body(), field: value}
    _refused_or_usable(data)


@settings(deadline=None)
@given(st.sampled_from(sorted(body()["verification"])), json_values)
@example("error", "0")
@example("error", 0)
@example("batches", "12")
@example("batches", 1)
@example("batches", [True])
@example("photographs", "ab")
@example("images", 1.5)
def test_so_is_another_value_in_the_verification(field, value):
    _refused_or_usable({**body(), "verification": {**body()["verification"], field: value}})


def _refused_or_usable(data):
    content = signed(data)
    try:
        manifest = read(content)
    except BadInput as error:
        assert str(error)
    else:
        assert manifest.to_bytes() == content
        assert str(manifest.verification)
        assert manifest.label


@pytest.mark.parametrize(
    ("trained", "verified", "label"),
    [
        (True, True, "small fp32 32"),
        (False, True, "small fp32 32 (untrained weights)"),
        (True, False, "small fp32 32 (UNVERIFIED)"),
        (False, False, "small fp32 32 (untrained weights, UNVERIFIED)"),
    ],
)
def test_the_label_says_what_must_not_be_overlooked(trained, verified, label):
    manifest = replace(MANIFEST, provenance=Provenance(trained, ()), verification=VERIFICATION if verified else None)
    assert manifest.label == label


def test_the_label_says_that_accuracy_was_not_measured():
    unmeasured = replace(VERIFICATION, accuracy=None)
    assert replace(MANIFEST, verification=unmeasured).label == "small fp32 32 (accuracy not measured)"
    assert replace(MANIFEST, verification=unmeasured, quantisation=None).label == "small fp32 32"


def test_the_label_says_the_alignment():
    untrained = Provenance(False, ())
    assert replace(MANIFEST, alignment=32).label == "small fp32 32 align 32"
    assert replace(MANIFEST, alignment=8, provenance=untrained).label == "small fp32 32 align 8 (untrained weights)"


@pytest.mark.parametrize(
    ("value", "said"),
    [(value, "an alignment must be one of 1, 8, 16, 32, 64") for value in (0, 2, 7, 128)]
    + [(value, "manifest.json.alignment must be ") for value in (8.0, "8", True, None)],
)
def test_only_known_alignments_are_believed(value, said):
    assert said in refusal(lambda: read(signed({**body(), "alignment": value})))


def test_a_verification_is_one_line_with_its_figures():
    plain = replace(VERIFICATION, accuracy=None, element_errors={}, own=None)
    line = (
        "error 3.0e-07 of tolerance 1e-05, top-1 agrees on 12 of 12 images and 1 of 1 real images "
        "(ort-cpu against torch 2)"
    )
    assert str(plain) == line
    assert str(VERIFICATION) == (
        f"{line}; top-1 90.25 % against 90.50 % on 1000 images of demo, a drop of 0.25 of at most 0.5 points; "
        "stage1.block1 adds most to the error; "
        "in fp16 arithmetic error 1.0e-03 of tolerance 5e-03, headroom: at most 1,310 (2.00% of 65504, 25.00% allowed) "
        "at head.linear (Gemm)"
    )


@pytest.mark.parametrize(
    ("reference", "graph", "max_drop", "passed"),
    [
        (90.5, 90.0, 0.5, True),
        (90.5, 89.9, 0.5, False),
        (90.5, 91.0, 0.0, True),
        (90.5, 90.5, 0.0, True),
        (90.5, 90.4, 0, False),
    ],
)
def test_passing_needs_the_accuracy_too(reference, graph, max_drop, passed):
    found = replace(VERIFICATION, accuracy=Accuracy("demo", 1000, reference, graph, max_drop))
    assert found.passed is passed
    assert not replace(found, error=1e-4).passed
    assert replace(found, accuracy=None).passed
    assert ("FAILED" in replace(MANIFEST, verification=found).label) is not passed


def test_the_element_that_adds_most_is_the_same_after_reading():
    """The order of the elements is that of the computation, which sorted JSON objects do not keep."""
    assert VERIFICATION.worst == "stage1.block1"
    found = replace(VERIFICATION, element_errors={"stem": 0.01, "stage1.block1": 0.02, "head": 0.04})
    again = read(replace(MANIFEST, verification=found).to_bytes()).verification
    assert list(again.element_errors) == ["stem", "stage1.block1", "head"]
    assert again.worst == found.worst == "head"
    assert replace(VERIFICATION, element_errors={}).worst == ""


@pytest.mark.parametrize("errors", [{}, {"stem": 0.1}, [["stem"]], [["stem", 1]], [[1, 0.1]], [["a", 0.1], ["a", 0.1]]])
def test_only_names_and_errors_are_believed_of_elements(errors):
    refusal(lambda: read(signed({**body(), "verification": {**body()["verification"], "element_errors": errors}})))


@pytest.mark.parametrize("quantisation", [{}, [], "int8", 1, True])
def test_only_an_object_is_believed_of_the_quantisation(quantisation):
    refusal(lambda: read(signed({**body(), "quantisation": quantisation})))


def test_the_hash_of_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("precision",), "fp4", "the precision must be one of fp32, fp16, bf16, int8, fp8, found 'fp4'"),
        (("class_names",), ["cat"], "class_names must name the network's"),
        (("preprocessing", "image_size"), 8, "preprocessing must be for the network's"),
        (("verification", "error"), -1.0, "verification must be of what can be"),
        (("verification", "tolerance"), -1.0, "verification must be of what can be"),
        (("verification", "top1_agreement"), 13, "verification must be of what can be"),
        (("verification", "photograph_agreement"), 2, "verification must be of what can be"),
        (("verification", "batches"), [0], "verification must be of what can be"),
        (("verification", "element_errors"), [["stem", -1.0]], "verification must be of what can be"),
        (("verification", "accuracy", "graph"), 101.0, "verification.accuracy must be percentages"),
        (("verification", "accuracy", "pictures"), 0, "verification.accuracy must be percentages"),
        (("verification", "error"), float("nan"), "the number NaN"),
        (("verification", "error"), float("inf"), "the number Infinity"),
    ],
    ids=str,
)
def test_what_contradicts_itself_under_a_hash_that_is_right(where, value, said):
    data = json.loads(json.dumps(body()))
    holder = data
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = value
    assert said in refusal(lambda: read(signed(data)))


def with_own(**changes):
    """The manifest as data with other values in what was found in the graph's own type."""
    found = body()["verification"]
    return {**body(), "verification": {**found, "own_arithmetic": {**found["own_arithmetic"], **changes}}}


def test_the_headroom_of_each_element_is_in_it_in_order():
    found = json.loads(CONTENT)["verification"]["own_arithmetic"]
    assert [(item["element"], item["share"]) for item in found["headroom"]] == [
        ("stem", 12.5 / 65504),
        ("head", 1310.08 / 65504),
    ]
    assert found["headroom"][1]["operator"] == "head.linear (Gemm)"
    assert (found["type"], found["largest"], found["margin"]) == ("fp16", 65504.0, 0.25)


def test_a_manifest_from_before_it_was_looked_at_reads_and_says_so():
    older = replace(VERIFICATION, own=None)
    content = replace(MANIFEST, verification=older, precision="fp16", quantisation=None).to_bytes()
    assert b"own_arithmetic" not in content
    assert read(content).verification == older
    assert read(content).label == "small fp16 32 (not verified in fp16 arithmetic)"
    around = {**QUANTISATION, "around": "fp16"}
    assert replace(MANIFEST, verification=older, quantisation=around).doubt == "not verified in fp16 arithmetic"
    assert replace(MANIFEST, verification=older).doubt == "", "around float32 there is nothing else to look at"


@pytest.mark.parametrize(
    ("own", "beyond", "passed"),
    [
        (OWN, "", True),
        (replace(OWN, error=6e-3), "", False),
        (replace(OWN, peaks={"stem": Peak(16376.0, "a"), "head": Peak(1.0, "b")}), "", True),
        (replace(OWN, peaks={"stem": Peak(1.0, "a"), "head": Peak(16377.0, "b")}), "head", False),
        (replace(OWN, peaks={"stem": Peak(7e4, "a"), "head": Peak(None, "b")}), "stem", False),
        (replace(OWN, peaks={"stem": Peak(None, "a")}, error=NOT_FINITE), "stem", False),
    ],
)
def test_passing_needs_room_in_the_graphs_own_type(own, beyond, passed):
    found = replace(VERIFICATION, own=own)
    assert own.beyond == beyond
    assert found.passed is passed
    assert ("FAILED" in replace(MANIFEST, verification=found).label) is not passed
    assert read(replace(MANIFEST, verification=found).to_bytes()).verification == found
    assert str(found).isprintable()


@pytest.mark.parametrize(
    "changes",
    [
        {"headroom": []},
        {"headroom": {}},
        {"headroom": [["stem", 0.1]]},
        {"headroom": [{"element": "stem", "share": 0.5, "magnitude": 1.0, "operator": "a"}]},
        {"headroom": [{"element": "stem", "share": 1 / 65504, "magnitude": 1, "operator": "a"}]},
        {"largest": 0.0},
        {"largest": -1.0},
        {"largest": "65504"},
        {"type": None},
        {"margin": 1},
        {"foreign": 1},
    ],
)
def test_only_a_headroom_of_ours_is_believed(changes):
    refusal(lambda: read(signed(with_own(**changes))))


@pytest.mark.parametrize("path", sorted((GOLDEN / "manifests").iterdir()), ids=lambda path: path.stem)
def test_manifests_of_version_0_1_read_and_are_written_the_same(path):
    """As `resnas export` wrote them before one reader read all documents."""
    manifest = read(path.read_bytes())
    assert manifest.to_bytes() == path.read_bytes()
    assert manifest.label.startswith(f"tiny {path.stem.partition('-')[2]} 224")
    assert manifest.verification.passed
    assert next(iter(manifest.verification.own.peaks)) == "stem"
