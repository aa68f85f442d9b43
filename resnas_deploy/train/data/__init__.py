"""Labelled pictures: where they come from, and in which order and form training takes them."""
