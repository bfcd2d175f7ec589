"""The far tier (L2) of an open cache: reads, writes, and the handling of failures."""
