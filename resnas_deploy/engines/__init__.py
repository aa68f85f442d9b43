"""Engines: what a compiler makes of an artifact's graph, where it is kept, and what became of each part.

In come an artifact and options; out comes a built engine with its report. Running one belongs to `runners`.
"""
