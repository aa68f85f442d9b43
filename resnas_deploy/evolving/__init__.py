"""Search spaces that evolve: what each choice does to accuracy and cost, and the ranges moved towards the gain.

After "Searching the Search Space of Vision Transformers" (S3; Chen et al., NeurIPS 2021, arXiv 2111.14725). In come a
supernet, its data and limits; out come a space, its supernet trained on from the weights that were there, and a page
that says why each range is what it is. Which subnet of it is best belongs to `searching`.
"""
