"""Labelled pictures: the built-in data set, image folders, tar shards."""
