"""In which order and form training takes labelled images.

In come images by number; out come augmented batches that the seed alone decides.
"""
