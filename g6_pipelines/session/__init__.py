"""The session run: one process collects a day, says how it is doing, and is replaced when it dies."""
