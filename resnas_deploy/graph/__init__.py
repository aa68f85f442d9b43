"""ONNX graphs, written from an architecture and weights, never traced: folding, spelling, and the file itself.

In come an `ArchSpec` and arrays; out comes a model or its bytes. Verification, quantisation and folders do not belong
here.
"""
