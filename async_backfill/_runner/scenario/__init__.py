"""Read and check a scenario, and build its source and cache."""
