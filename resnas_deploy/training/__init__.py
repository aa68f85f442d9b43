"""Training: a supernet, a subnet alone, fine-tuning and evaluation.

In come a recipe, labelled images and perhaps weights; out come checkpoints and metrics. Choosing a
subnet belongs to `searching`.
"""
