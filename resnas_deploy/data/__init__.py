"""Labelled images: the built-in set, folders of a class each, tar shards, and whether they have a network's classes.

In comes what `data` names; out come images by number with labels. Augmentation and batches belong to `training`.
"""
