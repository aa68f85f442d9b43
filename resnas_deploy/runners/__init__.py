"""Runtimes that execute an artifact, behind one protocol. `registry` lists them; each has a file of its own."""
