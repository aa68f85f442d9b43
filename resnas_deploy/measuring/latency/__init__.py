"""The latency model: measured subnets of a space, a regression on their structure, and its error on others.

In come a space and a setting; out come predictions with intervals, from an SQLite file that keeps what was measured.
"""
