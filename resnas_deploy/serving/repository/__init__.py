"""Model repositories of Triton: what is put into them, and whether every claim in them holds.

In come artifacts and engines; out comes a folder that a server takes. Starting one belongs to `serving.server`.
"""
