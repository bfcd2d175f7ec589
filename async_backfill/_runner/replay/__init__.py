"""A replay: the lookups of a scenario put to a cache, and the summary of what came of them."""
