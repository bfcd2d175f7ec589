"""What backfills and successors do to a cache in steady traffic: what they gain, and that they do no harm."""
