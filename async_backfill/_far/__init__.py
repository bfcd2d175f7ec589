"""The far tier (L2) while a cache is open: reading, writing, and what happens when it fails."""
