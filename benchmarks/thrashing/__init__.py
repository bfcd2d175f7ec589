"""The cost of backfills that start too easily, or may evict keys in use."""
