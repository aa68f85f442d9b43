"""Small pictures with what is known of each, all inside the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from resnas_deploy.pages import escaping


@dataclass(frozen=True)
class Picture:
    """One picture: the bytes of a JPEG file, and lines below it."""

    jpeg: bytes
    said: str  # for who does not see it
    lines: Sequence[str]

    def html(self) -> str:
        """Return it as HTML."""
        first, *others = map(escaping.text, self.lines)
        rest = "".join(f"<br>{line}" for line in others)
        return (
            f'<li><img alt="{escaping.text(self.said)}" src="data:image/jpeg;base64,'
            f'{base64.b64encode(self.jpeg).decode()}"><div><strong>{first}</strong>{rest}</div></li>'
        )


@dataclass(frozen=True)
class Gallery:
    """Pictures beside and below each other."""

    title: str
    pictures: Sequence[Picture]

    def html(self) -> str:
        """Return it as HTML."""
        shown = "".join(picture.html() for picture in self.pictures)
        return f'<figure><figcaption>{escaping.text(self.title)}</figcaption><ul class="gallery">{shown}</ul></figure>'
