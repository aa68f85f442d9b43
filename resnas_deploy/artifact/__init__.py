"""An artifact: the folder of a graph, its weights, its engines and a manifest with the hash of each file.

In comes what was made; out comes what was checked. How a graph is made and how it is run do not belong here.
"""
