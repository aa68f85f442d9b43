"""Deploying: which of several graphs of a network serves a level of latency best on this machine, and how.

In come a network, a device and a level; out come a model in a repository and a document of what was chosen and why.
What is done on the way (exporting, measuring, serving) belongs to the rooms before and is handed in.
"""
