"""A page of HTML as a program reads it."""

from __future__ import annotations

import json
from html.parser import HTMLParser


class Seen(HTMLParser):
    """The tags of a page, its texts, and the data of its charts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.data, self._open = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] == ("script", {"type": "application/json"}):
            self.data.append(json.loads(data))
        elif self._open and self._open[-1][0] not in ("script", "style"):
            self.texts.append(data)
