"""The search: evolution over the subnets of a trained supernet, under limits on what they cost.

In come a supernet, held-out images, limits and a latency model; out come finalists, exported and measured. How a
latency is predicted belongs to `measuring.latency`.
"""
