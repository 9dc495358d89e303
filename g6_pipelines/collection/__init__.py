"""What a collection cycle makes of quotes: rows, overviews, coverage. Pure."""
