"""Everything that names kiteconnect."""
