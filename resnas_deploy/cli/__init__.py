"""The command line: a file a command. It parses text, calls one function of the Python API, and prints.

What a notebook could want does not belong here.
"""
