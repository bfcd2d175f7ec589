"""Replay the lookups of a scenario through a cache, and summarise the result."""
