"""A real Triton server on this machine: found, started, open for what clients need alone, and stopped with all of it.

In comes a repository; out come addresses and a log. What is asked of the server belongs to `serving.load`.
"""
