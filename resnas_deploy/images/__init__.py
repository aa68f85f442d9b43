"""From image files to the array that a network takes, and the names of the classes that it tells apart.

In come files and folders; out come decoded, resized, normalised arrays and texts. Labels and splits belong to `data`.
"""
