"""The step of the action that comments on the pull request: one comment for each gate, written anew in its place.

By the REST API of issue comments (https://docs.github.com/en/rest/issues/comments): a pull request is an issue. Ours is
found by a mark that nobody sees, and only among those of the same author. What cannot be written is a warning, not a
failure: the token of a pull request from a fork may only read
(https://docs.github.com/en/actions/reference/security/secure-use).
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MOST = 65_000  # characters; GitHub takes 65,536
_PAGE, _PAGES = 100, 50  # comments of an answer, and answers that are read
_SECONDS = 30


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token goes to the server that was named, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Api:
    """GitHub's REST API, as far as comments need it."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token
        self._open = urllib.request.build_opener(_NoRedirect).open

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return what the server answers. Raise `OSError`."""
        request = urllib.request.Request(
            f"{self._url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "User-Agent": "resnas-gate",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        with self._open(request, timeout=_SECONDS) as answer:
            return json.load(answer)

    def me(self) -> str:
        """Return who the token is; empty for an installation's, such as a job's own, which may not ask (403)."""
        try:
            return str(self.ask("GET", "/user")["login"])
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                return ""
            raise


def mark(name: str) -> str:
    """Return what the comment of a gate begins with."""
    return f"<!-- resnas-gate: {name} -->"


def write(api: Api, repository: str, number: int, name: str, text: str) -> str:
    """Write the comment, and return its address."""
    body = f"{mark(name)}\n{text}"
    body = body if len(body) <= MOST else f"{body[:MOST]}\n```\n\nand more, in the job's summary"
    me = api.me()
    for comment in _comments(api, f"/repos/{repository}/issues/{number}/comments"):
        user = comment.get("user") or {}
        ours = user.get("login") == me if me else user.get("type") == "Bot"
        if ours and str(comment.get("body")).startswith(mark(name)):
            path = f"/repos/{repository}/issues/comments/{int(comment['id'])}"
            return str(api.ask("PATCH", path, {"body": body})["html_url"])
    return str(api.ask("POST", f"/repos/{repository}/issues/{number}/comments", {"body": body})["html_url"])


def _comments(api: Api, path: str) -> Iterator[dict[str, Any]]:
    for page in range(1, _PAGES + 1):
        found = api.ask("GET", f"{path}?per_page={_PAGE}&page={page}")
        yield from found
        if len(found) < _PAGE:
            return


def main(given: Mapping[str, str]) -> int:
    """Comment on the pull request that the event is of, if it is of one."""
    event = json.loads(Path(given["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    number = (event.get("pull_request") or {}).get("number")
    if number is None:
        print("no pull request to comment on")
        return 0
    run = f"{given['GITHUB_SERVER_URL']}/{given['GITHUB_REPOSITORY']}/actions/runs/{given['GITHUB_RUN_ID']}"
    text = (
        f"{Path(given['GATE_SUMMARY']).read_text(encoding='utf-8')}\n[The run, with the page and the history]({run})\n"
    )
    api = Api(given["GITHUB_API_URL"], given["GATE_TOKEN"])
    try:
        print("commented:", write(api, given["GITHUB_REPOSITORY"], int(number), given["GATE_NAME"] or "latency", text))
    except (OSError, ValueError, LookupError, TypeError) as error:  # LookupError, TypeError: an answer of another form
        told = f"{error}".replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        print(f"::warning::no comment could be written: {told}; the job needs the permission pull-requests: write")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
