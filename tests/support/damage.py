"""Ways to damage a file: as accidents do, byte by byte, and as one does who knows its format."""

from __future__ import annotations

import copy
import hashlib
import json

DEEP = "[" * 5000 + "]" * 5000
NUMBERS = (0, -1, 1, 2, 255, 65_537, 2**31, 2**63, 10**25, 10**60, 0.5, -0.0, 1e-320, 1e300)
VALUES = (
    *NUMBERS,
    None,
    True,
    False,
    "",
    "x",
    "x" * 100_000,
    "é\ud800\n\x1b[2J",
    "\uff11\uff12",
    "²",
    [],
    {},
    [[[]]],
    [0],
    {"a": {}},
)
RAW = ("NaN", "-Infinity", "1e400", "9" * 5000, DEEP, "01", "'x'", '{"a": 1, "a": 2}', "\ufeff1", "\x00")
_MARK = "the value that raw text takes the place of"


def bytes_changed(content: bytes, rng) -> bytes:
    """Flipped bits, a cut, something put in, something twice; one or several of them."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0 | 1 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 2 if at < len(changed):
                changed[at] = rng.choice((0, 0x7F, 0x80, 0xFF))
            case 3:
                del changed[at : at + rng.choice((1, 4, 100, 10**9))]
            case 4:
                changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 30))))
            case _:
                changed[at:at] = changed[at : at + rng.choice((1, 8, 200))]
    return bytes(changed)


def text_changed(text: str, rng) -> bytes:
    """A text with other characters, numbers and line ends in it, in another encoding, or with changed bytes."""
    numbers = [at for at in range(len(text)) if text[at].isdigit()]
    match rng.randrange(5):
        case 0 if numbers:
            at = rng.choice(numbers)
            other = rng.choice(
                ("\uff11", "²", "1_0", "1,5", "inf", "nan", "-1", "9" * 30, "9" * 5000, "1e400", "0x" + "f" * 5000, "")
            )
            return f"{text[:at]}{other}{text[at + 1 :]}".encode()
        case 1:
            return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x00")) + text.encode()
        case 2:
            at = rng.randrange(len(text) + 1)
            other = rng.choice(
                ("\r", "\0", "\u2028", "(" * 3000, "{" * 3000, "[" * 3000, '"', "'", "\\", "#", "=", "x" * 10_000)
            )
            return f"{text[:at]}{other}{text[at:]}".encode()
        case 3:
            return text.encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "latin-1")), errors="replace")
        case _:
            return bytes_changed(text.encode(), rng)


def json_changed(document: object, rng) -> str:
    """JSON in which something is of another kind, too large, gone, new, twice, nested, or no JSON."""
    document = json.loads(json.dumps(document))
    raw = ""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(document))
        if not places:
            break
        holder, key = rng.choice(places)
        match rng.randrange(10):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice(("x", "", "x" * 1000, "schema"))] = copy.deepcopy(rng.choice(VALUES))
            case 1 | 2 if isinstance(holder, list):
                holder[key:key] = [holder[key]] * rng.choice((1, 2, 1000))
            case 3 | 4 if not raw:
                raw, holder[key] = rng.choice(RAW), _MARK
            case 5:
                other, place = rng.choice(places)
                holder[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else None))
            case _:
                holder[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(document).replace(f'"{_MARK}"', raw)


def sealed(document: dict, name: str) -> bytes:
    """The document with its own hash in it, as whoever wrote it would have made it."""
    body = {key: value for key, value in document.items() if key != name}
    return _dump(body | {name: hashlib.sha256(_dump(body)).hexdigest()})


def resealed(text: str, name: str) -> bytes:
    """The same of changed JSON, where it still is an object."""
    try:
        document = json.loads(text)
        return sealed(document, name) if isinstance(document, dict) else text.encode()
    except (ValueError, RecursionError):
        return text.encode("utf-8", "surrogatepass")


def _dump(body: object) -> bytes:
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode("ascii")


def _places(document: object):
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(items):
        yield document, key
        yield from _places(value)
