"""The gain of backfills and successors in steady traffic, and a check that they do no harm."""
