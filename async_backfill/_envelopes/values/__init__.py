"""How values become bytes and values again: the codecs, what comes back the same, and who is told."""
