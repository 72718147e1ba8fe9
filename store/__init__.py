"""The log: journal, segments, checkpoints, recovery."""
