"""Load tests of a server: levels of concurrency or rate, the search for capacity, and their figures.

In comes an address; out come latencies and throughput. Starting the server belongs to `serving.server`.
"""
