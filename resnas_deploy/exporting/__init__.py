"""Export: from a checkpoint to a verified artifact. Quantisation and the checks that may refuse it are here too.

In come weights and a request; out comes an artifact on disk, or nothing at all. Emission itself belongs to `graph`.
"""
