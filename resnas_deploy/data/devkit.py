"""ImageNet's development kit: which WordNet id each of its numbers of a class stands for.

Its data/meta.mat (MATLAB, level 5) has an array `synsets` of structures with the fields ILSVRC2012_ID, WNID, words and
more; the first 1000 are the classes (the kit's readme.txt, section 3.1).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnas_deploy.errors import BadInput, first_line, shown
from resnas_deploy.files.reading import read_bytes

META = "meta.mat"
_MOST_BYTES = 20_000_000  # the kit's has 1 MB
_WORDNET = re.compile(r"n\d{8}")


def ids_by_number(folder: Path, who: str) -> dict[int, str]:
    """Return the WordNet ids by ILSVRC2012_ID, of the kit's meta.mat in a folder. `who` begins the message without."""
    path = folder / META
    if not path.is_file():
        raise BadInput(
            f"{who} {META} beside it must tell, found none in {folder}; put the development kit's there "
            f"(data/{META}), or give LOC_val_solution.csv"
        )
    from scipy.io import loadmat

    content = io.BytesIO(read_bytes(path, _MOST_BYTES))
    try:
        synsets = loadmat(content, variable_names=["synsets"])["synsets"]  # type: ignore[arg-type]  # a file too
        found = dict(_pairs(synsets))
    except Exception as error:  # of damaged bytes it raises almost anything
        raise BadInput(
            f"{path} must be the development kit's, with `synsets` of ILSVRC2012_ID and WNID, found: "
            f"{first_line(error)}"
        ) from error
    if wrong := next((name for name in found.values() if not _WORDNET.fullmatch(name)), None):
        raise BadInput(f"{path} must have WordNet ids such as n01440764 as WNID, found {shown(wrong)}")
    return found


def _pairs(synsets: Any) -> Iterator[tuple[int, str]]:
    for each in synsets.ravel():
        yield int(each["ILSVRC2012_ID"].item()), str(each["WNID"].item())
