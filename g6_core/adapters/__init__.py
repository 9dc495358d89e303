"""Where G6 meets files, databases and the broker."""
