"""The formats of the paper's reference release: `network_def` tuples and its PyTorch checkpoints."""
