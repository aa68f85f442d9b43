"""What mkdocs does with the pages of docs/ beyond what it does by itself. `make site` builds with it.

Links that leave docs/ (results, tests, examples) work in the repository as they stand; on the site they become
addresses of the repository. The reference of commands and of the Python API is written from the code while the site is
built, so that nobody has to keep it.
"""

from __future__ import annotations

import logging
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import reference

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
API = "reference/api.md"
COMMANDS = "commands.md"
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_ITEM = re.compile(r"(?:- |\d+\. )")
_log = logging.getLogger("mkdocs.hooks.resnas")


@cache
def repository() -> str:
    """Return the address of the repository, which pyproject.toml alone says."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get(
        "urls", {"Repository": "https://github.com/resnas/resnas"}
    )
    return str(urls["Repository"])


def abroad(markdown: str, page: str) -> str:
    """Return a page's text with its links to files outside of docs/ as addresses of the repository.

    A warning, which ends a strict build, tells of those that lead nowhere.
    """

    def link(found: re.Match[str]) -> str:
        target = found[2]
        place = (DOCS / page).parent.joinpath(target).resolve()
        if ":" in target or place.is_relative_to(DOCS):
            return found[0]
        if not (place.is_relative_to(ROOT) and place.exists()):
            _log.warning("%s links to %s, which is not in the repository", page, target)
            return found[0]
        kind = "tree" if place.is_dir() else "blob"
        return f"{found[1]}{repository()}/{kind}/main/{place.relative_to(ROOT).as_posix()}{found[3]}"

    return _LINK.sub(link, markdown)


def lists_apart(markdown: str) -> str:
    """Return a page's text with a blank line before each list: without one GitHub makes a list, and mkdocs none."""
    lines, fenced, before = [], False, ""
    for line in markdown.split("\n"):
        fenced ^= line.startswith("```")
        if not fenced and _ITEM.match(line) and before.strip() and not _ITEM.match(before) and before[0] != " ":
            lines.append("")
        lines.append(line)
        before = line
    return "\n".join(lines)


def on_files(files: Any, config: Any) -> Any:
    """Add the page of the API."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, API, content=reference.api_reference()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Write links anew, and add what the code says of each command to their page."""
    del config, files
    name = page.file.src_uri
    if name == COMMANDS:
        markdown += f"\n## Every option\n\n{reference.command_reference()}"
    return abroad(lists_apart(markdown), name)
