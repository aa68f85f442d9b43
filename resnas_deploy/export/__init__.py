"""From a checkpoint to a verified ONNX artifact: folding, graph emission, verification."""
