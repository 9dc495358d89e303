"""Asset checks by phase of the day: each reads what an asset left on disk and can fail."""
