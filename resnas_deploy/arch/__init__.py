"""Architectures as frozen data, without weights: a network, its parts, its cost, and the spaces that hold many.

In come numbers, JSON and seeds; out come `ArchSpec`, `SearchSpace`, MACs and parameters. What computes an output, and
whatever needs numpy's linear algebra, torch or a file, does not belong here.
"""
