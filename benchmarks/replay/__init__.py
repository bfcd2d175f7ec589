"""Benchmark: what a replay costs for each lookup, beside a plain loop."""
