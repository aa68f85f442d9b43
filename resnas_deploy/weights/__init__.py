"""Weights as numpy arrays by name: checkpoints, the schema of a network's tensors, and exact changes of their shapes.

In come files (`vit_search`: the reference's formats) and seeds; out come `Checkpoint`s. Computing with them does not
belong here.
"""
