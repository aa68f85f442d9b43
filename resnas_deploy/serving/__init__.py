"""Serving behind NVIDIA Triton Inference Server: model repositories, a server of one's own, and load tests.

In come artifacts; out come repositories, answers and load figures. Running a network in this process
belongs to `runners`.
"""
