"""The setting of most throughput: how many sessions, with how many threads each, on batches of how many images.

In: the subjects of a plan. Out: what was tried, and the best. A plan is measured by the room above.
"""

AUTO = "auto"  # as the number of streams: it is to be found
MINUTES = 2.0  # of a search, of all artifacts on all runners together
