"""In which order and form training takes labelled pictures."""
