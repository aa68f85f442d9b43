"""ImageNet's development kit: which WordNet id each of its numbers of a class stands for.

Its data/meta.mat (MATLAB, level 5) has an array `synsets` of structures with the fields ILSVRC2012_ID, WNID, words and
more; the first 1000 are the classes (the kit's readme.txt, section 3.1).
"""

from __future__ import annotations

import re
from pathlib import Path

from resnas_deploy.data.matlab import structures
from resnas_deploy.errors import BadInput, first_line
from resnas_deploy.files.reading import read_bytes

META = "meta.mat"
_MOST_BYTES = 20_000_000  # the kit's has 1 MB
_WORDNET = re.compile(r"n[0-9]{8}")
_NUMBER, _ID = "ILSVRC2012_ID", "WNID"


def ids_by_number(folder: Path, who: str) -> dict[int, str]:
    """Return the WordNet ids by ILSVRC2012_ID, of the kit's meta.mat in a folder. `who` begins the message without."""
    path = folder / META
    if not path.is_file():
        raise BadInput(
            f"{who} {META} beside it must tell, found none in {folder}; put the development kit's there "
            f"(data/{META}), or give LOC_val_solution.csv"
        )
    found: dict[int, str] = {}
    try:
        for synset in structures(read_bytes(path, _MOST_BYTES), "synsets", (_NUMBER, _ID)):
            number, name = synset[_NUMBER], synset[_ID]
            if not (isinstance(number, float) and number.is_integer() and isinstance(name, str)):
                raise ValueError("a structure without a whole number and a text")
            if not _WORDNET.fullmatch(name) or found.setdefault(int(number), name) != name:
                raise ValueError(f"a WNID that is none, such as n01440764, or a number twice: {name!r}")
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(
            f"{path} must be the development kit's, with an array synsets of ILSVRC2012_ID and WNID, found: "
            f"{first_line(error)}"
        ) from None
    return found
