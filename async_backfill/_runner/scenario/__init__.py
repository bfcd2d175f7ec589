"""A scenario: read, decoded, checked, and built into a source and a cache."""
