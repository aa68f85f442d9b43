"""What is published says of itself what is so: version, links, systems, files."""

from __future__ import annotations

import importlib.util
import re
import tomllib

from packaging.specifiers import SpecifierSet
from support.places import PACKAGE, ROOT

from resnas_deploy.version import __version__

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
HOME = PROJECT["urls"]["Homepage"]


def setup():
    spec = importlib.util.spec_from_file_location("setup_of_resnas", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_is_said_in_one_place():
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "resnas_deploy.version.__version__"}
    assert "version" in PROJECT["dynamic"]
    for path in PACKAGE.rglob("*.py"):
        assert path.name == "version.py" or f'"{__version__}"' not in path.read_text(), path


def test_every_link_is_of_the_one_project():
    assert set(PROJECT["urls"]) == {"Homepage", "Documentation", "Repository", "Changelog", "Issues"}
    assert all(url == HOME or url.startswith(f"{HOME}/") for url in PROJECT["urls"].values())


def test_the_pythons_that_are_named_are_those_that_are_allowed():
    named = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert named == {"3.11", "3.12", "3.13", "3.14"}
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(version) for version in named)


def test_systems_that_nobody_tried_are_called_so():
    systems = {line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if line.startswith("Operating System")}
    assert systems == {"Linux", "MacOS", "Windows"}
    page = (ROOT / "docs" / "install.md").read_text()
    assert re.search(r"macOS and Windows are for [^.]*\*\*untried\*\*", page)
    assert "windows-" in (workflow := (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert {"macos-15", "ubuntu-24.04-arm"} <= set(re.split(r"[\[\], ]+", workflow))


def test_the_extra_of_the_first_screen_has_what_its_doors_take():
    """`resnas deploy` writes configurations by Triton's client, of the same versions as the server's extra asks for."""
    extras = PROJECT["optional-dependencies"]
    client = {text for text in extras["serve"] if text.startswith("tritonclient[")}
    assert client
    assert {*extras["cpu"], *extras["plot"], *extras["openvino"], *client} <= set(extras["all-cpu"])


def test_every_file_of_the_package_that_is_no_module_is_published():
    """Each pattern of the package's data has files, and each file a pattern."""
    named = set()
    for package, patterns in PYPROJECT["tool"]["setuptools"]["package-data"].items():
        for pattern in patterns:
            found = {path for path in (ROOT / package.replace(".", "/")).glob(pattern) if path.is_file()}
            assert found, f"{package}: {pattern}"
            named |= found
    there = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    licences = {path for path in there if path.name.endswith(".LICENSE.txt")}  # which the metadata names
    assert there - named - licences == set(), "no pattern publishes these"


def test_the_long_description_leads_into_the_repository():
    text = setup().described()
    assert not re.search(r"\]\((?!https?://|#|mailto:)", text), "a link that is the repository's alone"
    assert f"{HOME}/blob/v{__version__}/docs/" in text
    for target in re.findall(rf"\]\({re.escape(HOME)}/(?:blob|raw)/v[^/]+/([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_links_are_made_whole_and_others_left():
    made = setup().long_description(
        "[a](docs/a.md#b) [c](https://x.y/z) [d](#e) ![f](docs/f.svg) [![g](docs/g.svg)](docs/h.md) `[i](j)`", "H", "1"
    )
    assert made == (
        "[a](H/blob/v1/docs/a.md#b) [c](https://x.y/z) [d](#e) ![f](H/raw/v1/docs/f.svg) "
        "[![g](H/raw/v1/docs/g.svg)](H/blob/v1/docs/h.md) `[i](H/blob/v1/j)`"
    )
