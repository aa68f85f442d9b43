"""How good a network is on labelled images: shares with intervals, classes, confusions, calibration, and a page.

In comes a network that a runner opens and images with their classes; out comes an `Evaluation`. Whether an export may
lose so much accuracy is `exporting`'s to say, and what training watches its own.
"""
