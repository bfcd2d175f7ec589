"""The tier that processes share, between the memory of a cache and its source."""
