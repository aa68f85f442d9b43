"""Serving behind NVIDIA Triton Inference Server: repositories, what is checked of them, and a server of one's own."""
