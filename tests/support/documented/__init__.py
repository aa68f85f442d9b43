"""Doubles of what needs a GPU: each behaves as a document says, which it names, and refuses what that forbids."""
