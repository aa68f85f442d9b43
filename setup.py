"""The long description of the package: README.md with its links made whole, for pages that are not the repository's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
_TARGET = r"\((?!https?:|mailto:|#)(?:\./)?([^)\s]+)\)"
_PICTURE = re.compile(r"(!\[[^\]]*\])" + _TARGET)
_LINK = re.compile(r"(?<!!)(\[!\[[^\]]*\]\([^)]*\)\]|\[(?!!\[)[^\]]*\])" + _TARGET)  # of a picture, or of words


def long_description(readme: str, home: str, version: str) -> str:
    """Return a page whose links and pictures lead into the repository as it was released."""
    pictured = _PICTURE.sub(rf"\1({home}/raw/v{version}/\2)", readme)
    return _LINK.sub(rf"\1({home}/blob/v{version}/\2)", pictured)


def described() -> str:
    """Return the long description of the checkout or the sdist that this file is in."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    version = re.search(r'__version__ = "(.+)"', (ROOT / "resnas_deploy" / "version.py").read_text(encoding="utf-8"))
    assert version
    return long_description((ROOT / "README.md").read_text(encoding="utf-8"), urls["Homepage"], version[1])


if __name__ == "__main__":
    setup(long_description=described(), long_description_content_type="text/markdown")
