"""What a run keeps and tells of itself: figures, kept checkpoints, its status, a report, and trackers that are told."""
