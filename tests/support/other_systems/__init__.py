"""This process made to look like one of another system, as far as Python's documentation tells them apart.

What Python lacks there is taken away (the "Availability" lines of its documentation), and what differs behaves so.
Nothing here is that system: a file system, a C library and a scheduler stay those of Linux.
"""
