"""Data files of the package: the ImageNet class names, and the photographs that verification classifies."""
