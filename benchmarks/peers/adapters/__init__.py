"""One file for each package that is compared; see `benchmarks.peers.registry`."""
