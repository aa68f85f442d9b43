"""Trees of files such as the kernel shows under /proc and /sys."""

from __future__ import annotations


def tree(root, files):
    """Write `{path: text}` below `root`, which is returned."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root
