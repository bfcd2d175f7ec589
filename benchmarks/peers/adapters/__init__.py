"""Adapters, one file for each compared package; see `benchmarks.peers.registry`."""
