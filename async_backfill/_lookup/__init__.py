"""One lookup: a hit, or a miss and what answers it."""
