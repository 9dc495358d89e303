"""Assets by phase of the day: thin shells over the stages."""
