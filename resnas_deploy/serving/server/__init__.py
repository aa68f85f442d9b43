"""A real Triton server on this machine: found, started behind closed doors, waited for, stopped with all it started.

In comes a repository; out come addresses and a log. What is asked of the server belongs to `serving.load`.
"""
