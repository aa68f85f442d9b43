"""Measuring: interleaved timing, statistics, comparisons, the regression gate, and the latency model.

In come networks on runners; out come reports with raw samples and the machine they are of. Deciding what to do about a
figure belongs to `searching` and to people.
"""
