"""The machine that a measurement belongs to: what it is, its state, its energy, and the most that it can do.

In come the kernel's and the driver's files and short timings; out come records. Networks do not belong here.
"""
