"""The graph in the arithmetic of its own type, which no runtime on a CPU computes in: see `evaluate`.

In come a graph and images; out come logits, and how near each part came to the end of its type.
"""
