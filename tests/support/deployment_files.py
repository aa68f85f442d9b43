"""What the deployment examples say."""

from __future__ import annotations

import json
import re

import yaml
from dockerfile_parse import DockerfileParser
from support.places import ROOT

DEPLOY = ROOT / "deploy"


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def kubernetes_objects():
    """The objects of the Kubernetes example by their kind."""
    return {found["kind"]: found for found in documents("kubernetes/serving.yaml")}


def adapter():
    (found,) = documents("kubernetes/adapter.yaml")
    return found


def dockerfile(folder):
    parser = DockerfileParser(str(folder))  # it writes what it is given
    parser.content = (DEPLOY / "Dockerfile").read_text()
    return parser


def command():
    """The image's."""
    text = (DEPLOY / "Dockerfile").read_text()
    return json.loads(re.search(r"^CMD (\[.*?\])", text, re.DOTALL | re.MULTILINE)[1].replace("\\\n", ""))
