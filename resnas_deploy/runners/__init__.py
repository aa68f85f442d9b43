"""Runtimes that execute a network, behind one protocol. `registry` lists them; each has a file of its own.

In come a network, its engine where the runtime needs one, and images; out come logits and times. Building an
engine, and statistics, do not belong here.
"""
