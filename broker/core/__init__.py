"""The broker without I/O: fronts (sessions) and backs (shards)."""
