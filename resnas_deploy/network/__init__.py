"""ViT-ResNAS as a PyTorch module, and the fused kernel that may end its residual reductions.

In come an `ArchSpec` and weights; out comes a module for inference. Training, masks and files do not belong here.
"""
