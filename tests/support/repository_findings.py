"""What a check of a repository finds."""

from __future__ import annotations

from resnas_deploy.serving.repository.check import check_repository


def findings(models, release=""):
    return [str(finding) for finding in check_repository(models, release).findings]
