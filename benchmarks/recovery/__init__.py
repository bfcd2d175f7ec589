"""The recovery of a cache after a restart, and its cost for the source."""
