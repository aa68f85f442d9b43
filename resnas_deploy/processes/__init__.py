"""This process and those that it starts: signals, orphans, cores and memory it may use, silent packages.

In comes the environment; out come numbers and endings that clean up. What the processes are for does not belong here.
"""
