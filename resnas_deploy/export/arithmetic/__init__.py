"""The graph in the arithmetic of its own type, which no runtime on a CPU computes in: see `evaluate`."""
