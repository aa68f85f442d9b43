"""Measuring: interleaved timing, percentiles, and the machine that a figure belongs to."""
