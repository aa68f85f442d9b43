"""GitHub's REST API of issue comments, as far as a comment on a pull request needs it, in this process.

Documents: https://docs.github.com/en/rest/issues/comments (list: `per_page` up to 100, `page`, by ascending ID; create:
201; update: 200; a body beyond 65,536 characters is refused with 422), https://docs.github.com/en/rest/users/users
(`GET /user`: 403 for the token of an installation, as a job's own is), and
https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api (a token that may not write: 403).
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BOT = {"login": "github-actions[bot]", "type": "Bot"}
_COMMENTS = re.compile(r"/repos/(?P<repository>[^/]+/[^/]+)/issues/(?P<number>\d+)/comments")
_COMMENT = re.compile(r"/repos/(?P<repository>[^/]+/[^/]+)/issues/comments/(?P<id>\d+)")


@dataclass
class GitHub:
    """One repository's pull requests, and who may do what."""

    token: str = "a token"
    user: dict | None = None  # whose the token is; none for that of an installation
    reads_only: bool = False
    moved_to: str = ""  # where every request is sent on to
    comments: list[dict] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def add(self, body, user=BOT):
        """A comment that is there."""
        self.comments.append({"id": 1000 + len(self.comments), "body": body, "user": user, "html_url": "https://x/1"})

    def answer(self, method, target, headers, body):
        """Return a status and a document."""
        place = urlsplit(target)
        self.asked.append((method, place.path))
        if headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"message": "Bad credentials"}
        if not headers.get("User-Agent"):
            return 403, {"message": "Request forbidden by administrative rules"}
        if (method, place.path) == ("GET", "/user"):
            return (200, self.user) if self.user else (403, {"message": "Resource not accessible by integration"})
        if method != "GET" and self.reads_only:
            return 403, {"message": "Resource not accessible by integration"}
        if body is not None and len(body.get("body", "")) > 65_536:
            return 422, {"message": "Validation Failed"}
        if _COMMENTS.fullmatch(place.path) and method == "GET":
            query = {name: int(values[0]) for name, values in parse_qs(place.query).items()}
            size = min(query.get("per_page", 30), 100)
            start = size * (query.get("page", 1) - 1)
            return 200, self.comments[start : start + size]
        if _COMMENTS.fullmatch(place.path) and method == "POST":
            self.add(body["body"], self.user or BOT)
            return 201, self.comments[-1]
        if (found := _COMMENT.fullmatch(place.path)) and method == "PATCH":
            for comment in self.comments:
                if comment["id"] == int(found["id"]):
                    comment["body"] = body["body"]
                    return 200, comment
        return 404, {"message": "Not Found"}


@contextmanager
def serving(github):
    """Serve it on a port of this machine, whose address it then has."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer()

        do_POST = do_PATCH = do_GET  # noqa: N815  the names that the base class calls

        def _answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if github.moved_to:
                self.send_response(302)
                self.send_header("Location", github.moved_to + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status, document = github.answer(self.command, self.path, self.headers, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    github.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield github
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
