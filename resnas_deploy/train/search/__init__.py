"""The search: evolution over the subnets of a trained supernet, under limits on what they cost."""
