"""A kernel that the deployment paths share: the tail of a residual reduction in one pass, in the Triton language.

Nothing is imported or registered here; each module says what it needs.
"""
