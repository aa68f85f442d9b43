"""Engines: what a compiler makes of an artifact's graph, where it is kept, and what became of each part."""
