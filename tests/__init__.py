"""Tests mirror the tree of the packages; a package of its own, so that helpers are importable from anywhere below."""
