"""Names, types, keys, paths and versions of everything that is stored."""
