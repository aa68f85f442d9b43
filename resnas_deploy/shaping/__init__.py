"""Shaping: which choices of a search space a device likes, from what small networks of them take there.

In come a space and a runner, or a compiler that counts kernels; out comes a space whose choices are worth having there,
and for each choice why it stays or goes. What a choice does to accuracy is not asked here.
"""
