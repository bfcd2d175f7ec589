"""Metrics: one table of what is told of a cache and a job, for all libraries that it is told to."""
