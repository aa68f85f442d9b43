"""The paper's claims at a scale where they could be seen: `make evidence`, and docs/evidence.md for what came of it."""
