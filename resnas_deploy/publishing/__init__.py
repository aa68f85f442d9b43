"""Publishing: what goes with an artifact to people who did not make it: a model card, a bill of materials, a signature.

In comes an artifact; out come text and files beside it. Nothing here measures anything or computes with weights.
"""
