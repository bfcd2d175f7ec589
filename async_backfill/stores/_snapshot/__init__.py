"""A snapshot on disk: its format, the log of changes beside it, and how both are written and read."""
