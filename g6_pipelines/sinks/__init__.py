"""Copies of the lake elsewhere. Each follows the lake; none of them can hold up or break a collection."""
