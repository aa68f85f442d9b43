"""Surveying: a GPU measured in steps, each in a process of its own, so that a crash or a hang costs one of them.

In come a device, a time and a folder; out comes one document of everything that was measured, and of what failed. How
something is measured belongs to `measuring`, and how a network is trained to `training`.
"""
