"""Rows of a file: read, split into key and value, indexed by key."""
