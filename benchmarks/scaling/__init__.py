"""What a lookup costs as the cache, and the crowd in front of it, grow."""
