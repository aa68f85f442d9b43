"""network_def: read without evaluating, written back exactly; a malformed one is one line that names the entry."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import golden_text, subnets, supernet_definitions
from support.places import GOLDEN

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.files.reading import MOST_TEXT
from resnas_deploy.weights.arch_files import read_arch, read_definition
from resnas_deploy.weights.vit_search.network_def import MAX_CHARACTERS, format_network_def, parse_network_def

STEM, BLOCK, REDUCTION = "(4, 32)", "(1, (32, 2, 16), (32, 64), 1)", "(3, 32, 64)"
MIDDLE, HEAD = "(1, (64, 2, 24), (64, 128), 1)", "(2, 96, 10)"
VALID = f"({STEM}, {BLOCK}, {BLOCK}, {REDUCTION}, {MIDDLE}, (3, 64, 96), (1, (96, 3, 32), (96, 192), 1), {HEAD})"


@given(subnets())
def test_round_trip(subnet: Subnet) -> None:
    full = subnet.full
    if others := [block.mixer for stage in full.stages for block in stage.blocks if block.mixer != "global"]:
        with pytest.raises(BadInput, match=f"must be of blocks with the mixer global, found {others[0]}"):
            format_network_def(subnet)
        stages = (replace(s, blocks=tuple(replace(b, mixer="global") for b in s.blocks)) for s in full.stages)
        subnet = replace(subnet, full=replace(full, stages=tuple(stages)))
    arch, text = subnet.full, format_network_def(subnet)
    found = parse_network_def(text, image_size=arch.image_size, patch_size=arch.patch_size)
    assert found == subnet
    assert format_network_def(found) == text


def test_golden_texts_come_back_exactly() -> None:
    with (GOLDEN / "macs.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["network_def"] for row in csv.DictReader(file)]
    for text in (*texts, *supernet_definitions(), golden_text("vit_search_mini.network_def.txt").strip()):
        assert format_network_def(parse_network_def(text)) == text


@pytest.mark.parametrize(("stem", "mid"), [("(4, 32)", 24), ("(5, 32, 24)", 24), ("(5, 32, 7)", 7), ("(0, 32)", 0)])
def test_the_three_stems(stem: str, mid: int) -> None:
    subnet = parse_network_def(VALID.replace(STEM, stem))
    assert subnet.full.stem_mid_width == mid
    assert subnet.full.stages[0].width == 32
    assert format_network_def(subnet).startswith(f"({stem if stem != '(5, 32, 24)' else STEM}, ")


def test_every_number_lands_in_its_place() -> None:
    arch = parse_network_def(VALID, image_size=112, patch_size=14).arch
    assert [stage.width for stage in arch.stages] == [32, 64, 96]
    assert [(b.heads, b.head_dim, b.hidden) for stage in arch.stages for b in stage.blocks] == [
        (2, 16, 64),
        (2, 16, 64),
        (2, 24, 128),
        (3, 32, 192),
    ]
    assert (arch.classes, arch.image_size, arch.patch_size) == (10, 112, 14)


def test_exists_0_drops_a_block() -> None:
    subnet = parse_network_def(VALID.replace(BLOCK, BLOCK[:-2] + "0)", 1))
    assert subnet.kept == ((False, True), (True,), (True,))
    assert len(subnet.arch.stages[0].blocks) == 1


def test_white_space_and_a_last_comma_do_not_matter() -> None:
    for text in (f"\n  {VALID}\n\n", VALID.replace(", ", ",\n\t"), VALID.replace(" ", ""), VALID[:-1] + ",)"):
        assert parse_network_def(text) == parse_network_def(VALID)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_network_is_read_from_a_file(tmp_path: Path, name: str) -> None:
    arch = PUBLISHED[name].arch
    file = tmp_path / "network_def.txt"
    file.write_text(format_network_def(Subnet.whole(arch)) + "\n")
    assert read_arch(str(file)) == arch
    assert parse_network_def(read_definition(str(file))).arch == arch
    assert read_definition(VALID) == VALID


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').system('touch {marker}')",
        "open({marker!r}, 'w')",
        "[open({marker!r}, 'w') for _ in (1,)]",
        "(lambda: open({marker!r}, 'w'))()",
        "f'''{{open({marker!r}, 'w')}}'''",
        "(x := open({marker!r}, 'w'))",
        "exec('''open({marker!r}, 'w')''')",
    ],
)
@pytest.mark.parametrize("place", [VALID, STEM, BLOCK, "(32, 64)", HEAD, "10"])
def test_nothing_is_evaluated(tmp_path: Path, code: str, place: str) -> None:
    marker = tmp_path / "ran"
    text = VALID.replace(place, code.format(marker=str(marker)))
    compile(text, "network_def", "eval")  # it would run, were it evaluated
    assert "nothing is evaluated" in refusal(lambda: parse_network_def(text))
    assert not marker.exists()


FIRST, LAST = "the first entry of the network_def", "the last entry of the network_def"
SHAPE = "(1, (width, heads, head_dim), (width, hidden), exists)"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # widths that do not chain
        (BLOCK, "(1, (31, 2, 16), (32, 64), 1)", "entry 2 of the network_def must continue at width 32"),
        (BLOCK, "(1, (32, 2, 16), (33, 64), 1)", "entry 2 of the network_def must continue at width 32"),
        (REDUCTION, "(3, 48, 64)", "entry 4 of the network_def must continue at width 32"),
        (MIDDLE, BLOCK, "entry 5 of the network_def must continue at width 64"),
        (HEAD, "(2, 64, 10)", f"{LAST} must continue at width 96"),
        # entries of a wrong kind
        (STEM, BLOCK, f"{FIRST} must be a stem"),
        (STEM, "(6, 32)", f"{FIRST} must be a stem"),
        (STEM, "(4.0, 32)", f"{FIRST} must be a stem"),
        (STEM, "(False, 32)", f"{FIRST} must be a stem"),
        (STEM, "()", f"{FIRST} must be a stem"),
        (STEM, "4", f"{FIRST} must be a stem"),
        (STEM, "[4, 32]", f"{FIRST} must be a stem"),
        (STEM, "(4, 32, 24)", f"{FIRST} must be (4, width), found"),
        (STEM, "(4,)", f"{FIRST} must be (4, width), found"),
        (STEM, "(0, 32, 24)", f"{FIRST} must be (0, width), found"),
        (STEM, "(5, 32)", f"{FIRST} must be (5, width, mid), found"),
        (BLOCK, "(4, 32)", "entry 2 of the network_def must be a block (1, ..) or a reduction (3, ..)"),
        (BLOCK, HEAD, "entry 2 of the network_def must be a block"),
        (BLOCK, "(True, (32, 2, 16), (32, 64), 1)", "entry 2 of the network_def must be a block"),
        (BLOCK, "(1.0, (32, 2, 16), (32, 64), 1)", "entry 2 of the network_def must be a block"),
        (BLOCK, "[1, (32, 2, 16), (32, 64), 1]", "entry 2 of the network_def must be a block"),
        (BLOCK, "()", "entry 2 of the network_def must be a block"),
        (BLOCK, "'a block'", "entry 2 of the network_def must be a block"),
        (BLOCK, "None", "entry 2 of the network_def must be a block"),
        (REDUCTION, "(3.0, 32, 64)", "entry 4 of the network_def must be a block"),
        (f", {HEAD}", "", f"{LAST} must be (2, width, classes)"),
        (HEAD, "(True, 96, 10)", f"{LAST} must be (2, width, classes)"),
        (HEAD, "(2.0, 96, 10)", f"{LAST} must be (2, width, classes)"),
        (HEAD, "(2, 96)", f"{LAST} must be (2, width, classes)"),
        (HEAD, "2", f"{LAST} must be (2, width, classes)"),
        # entries of a wrong form
        (BLOCK, "(1, (32, 2, 16), (32, 64))", f"entry 2 of the network_def must be {SHAPE}"),
        (BLOCK, "(1, (32, 2, 16), (32, 64), 1, 1)", f"entry 2 of the network_def must be {SHAPE}"),
        (BLOCK, "(1, (32, 2), (32, 64), 1)", "entry 2 of the network_def must be (width, heads, head_dim)"),
        (BLOCK, "(1, 32, (32, 64), 1)", "entry 2 of the network_def must be (width, heads, head_dim)"),
        (BLOCK, "(1, (32, 2, 16), (32,), 1)", "entry 2 of the network_def must be (width, hidden)"),
        (BLOCK, "(1, (32, 2, 16), [32, 64], 1)", "entry 2 of the network_def must be (width, hidden)"),
        (REDUCTION, "(3, 32)", "entry 4 of the network_def must be (3, in, out)"),
        # exists
        (BLOCK, "(1, (32, 2, 16), (32, 64), 2)", "entry 2 of the network_def must be"),
        (BLOCK, "(1, (32, 2, 16), (32, 64), -1)", "exists 0 or 1"),
        (BLOCK, "(1, (32, 2, 16), (32, 64), True)", "exists 0 or 1"),
        (BLOCK, "(1, (32, 2, 16), (32, 64), False)", "exists 0 or 1"),
        (BLOCK, "(1, (32, 2, 16), (32, 64), 1.0)", "exists 0 or 1"),
        (BLOCK, "(1, (32, 2, 16), (32, 64), (1,))", "exists 0 or 1"),
        # numbers that are none
        (BLOCK, "(1, (32, 2.0, 16), (32, 64), 1)", "heads in entry 2 of the network_def must be an integer"),
        (BLOCK, "(1, (32, 2, True), (32, 64), 1)", "head_dim in entry 2 of the network_def must be an integer"),
        (BLOCK, "(1, (32, 2, 16), (32, '64'), 1)", "hidden in entry 2 of the network_def must be an integer"),
        (BLOCK, "(1, (32, 0, 16), (32, 64), 1)", "heads in entry 2 of the network_def must be an integer from 1"),
        (BLOCK, "(1, (32, 2, 16), (32, -64), 1)", "hidden in entry 2 of the network_def must be an integer from 1"),
        (BLOCK, "(1, (32, 2, 1e400), (32, 64), 1)", "head_dim in entry 2 of the network_def must be an integer"),
        (BLOCK, "(1, (32, 2, 2j), (32, 64), 1)", "head_dim in entry 2 of the network_def must be an integer"),
        (STEM, "(4, True)", f"width in {FIRST} must be an integer"),
        (STEM, "(5, 32, 0)", f"mid in {FIRST} must be an integer from 1"),
        (REDUCTION, "(3, 32, 65537)", "out in entry 4 of the network_def must be an integer from 1 to 65536"),
        (REDUCTION, "(3, 32, None)", "out in entry 4 of the network_def must be an integer"),
        (HEAD, "(2, 96, 0)", f"classes in {LAST} must be an integer from 1"),
        (HEAD, "(2, 96, 10.0)", f"classes in {LAST} must be an integer"),
        pytest.param(
            HEAD, f"(2, 96, 0x{'f' * 10_000})", f"classes in {LAST} must be an integer from 1", id="huge-classes"
        ),
        pytest.param(BLOCK, f"(0x{'f' * 10_000},)", "a block (1, ..) or a reduction (3, ..)", id="huge-kind"),
        # networks that cannot exist
        (REDUCTION, "(3, 32, 16)", "entry 5 of the network_def must continue at width 16"),
        (f"{REDUCTION}, {MIDDLE}, ", "", "entry 4 of the network_def must continue at width 32"),
        (
            HEAD,
            "(3, 96, 96), (1, (96, 3, 32), (96, 192), 1), " * 2 + HEAD,
            "must have 1 to 3 reductions",
        ),
        (f" {MIDDLE},", "", "stages[1].blocks must be 1 to 64 blocks, found 0"),
        (MIDDLE, MIDDLE[:-2] + "0)", "stage 2 must keep at least one block"),
        (f" {BLOCK}, {BLOCK},", f" {BLOCK}," * 65, "stages[0].blocks must be 1 to 64 blocks, found 65"),
    ],
)
def test_a_malformed_entry_is_named(old: str, new: str, message: str) -> None:
    text = VALID.replace(old, new, 1)
    assert text != VALID
    found = refusal(lambda: parse_network_def(text))
    assert message in found
    assert len(found) < 250


def test_a_narrower_stage_is_refused() -> None:
    text = VALID.replace("(3, 64, 96)", "(3, 64, 48)").replace("(96,", "(48,").replace("(2, 96,", "(2, 48,")
    assert "stages[2].width must be at least stages[1].width = 64" in refusal(lambda: parse_network_def(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "()",
        "(1,)",
        "((4, 32),)",
        "4",
        "None",
        "{}",
        f"[{VALID}]",
        f"{{{VALID}}}",
        VALID[:-1],
        VALID[1:],
        VALID + VALID,
        VALID.replace("(4", "((4"),
        "\0",
        "\ud800",
        "\x1b[31m" + VALID,
        "(" * 50_000,
        "(" * 150 + "1" + ")" * 150,
        "[" * 199 + "]" * 199,
        "{[1]: 2}",
        "{[1]}",
        "-" * 99_999 + "1",
        "1+" * 49_999 + "1",
        "not " * 20_000 + "1",
        "1" * 99_999,
        "(4,'\\d')",
        "1if 1else 2",
        "((4, 32), (1,),\n(2, 96, 10))",
        "import os",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_tuple_of_entries_is_refused(text: str) -> None:
    message = refusal(lambda: parse_network_def(text))
    assert "network_def must" in message
    assert len(message) < 250


def test_a_text_that_is_too_long_is_refused_before_it_is_read() -> None:
    message = refusal(lambda: parse_network_def("(" * (MAX_CHARACTERS + 1)))
    assert message == f"a network_def must have at most {MAX_CHARACTERS} characters, found {MAX_CHARACTERS + 1}"


def test_a_file_that_is_no_definition_is_one_line(tmp_path: Path) -> None:
    large, binary = tmp_path / "large.txt", tmp_path / "binary.txt"
    large.write_bytes(b"(" * (MOST_TEXT + 1))
    binary.write_bytes(b"\x89PNG\r\n")
    for source, what in ((large, "at most"), (binary, "UTF-8"), (tmp_path, "folder"), (tmp_path / "no", "No such")):
        message = refusal(lambda source=source: read_definition(str(source)))
        assert message.startswith(str(source))
        assert what in message
    assert "too long" in refusal(lambda: read_definition("4, 32 " * 1000))


@pytest.mark.parametrize(("image_size", "patch_size"), [(100, 14), (0, 14), (224, 0), (231, 7), (10**6, 14)])
def test_image_and_patch_size_are_checked(image_size: int, patch_size: int) -> None:
    message = refusal(lambda: parse_network_def(VALID, image_size=image_size, patch_size=patch_size))
    assert message.startswith(("image_size must be", "patch_size must be"))


def _reads_or_refuses(text: str) -> None:
    try:
        subnet = parse_network_def(text)
    except BadInput as error:
        assert str(error).isprintable()
    else:
        assert parse_network_def(format_network_def(subnet)) == subnet


@given(st.text() | st.text("()[]{}0123456789,.-+jex'\"\\ #", max_size=60))
@settings(max_examples=300)
def test_any_text_is_a_network_or_one_line(text: str) -> None:
    _reads_or_refuses(text)


_edits = st.tuples(
    st.integers(0, len(VALID)),
    st.integers(0, 6),
    st.sampled_from(
        ["", "(", ")", ",", " ", "0", "1", "9", "-", ".", "e", "'", "True", "None", "(1,)", "\n", "é", "\0"]
    ),
)


@given(st.lists(_edits, min_size=1, max_size=4))
@settings(max_examples=400)
def test_any_edit_of_a_network_is_a_network_or_one_line(edits: list[tuple[int, int, str]]) -> None:
    text = VALID
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    _reads_or_refuses(text)
