"""Profiles: the functions that take the time of each kind of work."""
