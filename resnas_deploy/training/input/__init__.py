"""From labelled images to batches: which ones, random views of them, and the processes that make them ahead of time."""
