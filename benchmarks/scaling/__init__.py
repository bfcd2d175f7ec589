"""The cost of a lookup as the cache, and the number of callers, grow."""
