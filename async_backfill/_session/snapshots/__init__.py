"""The snapshot of a cache: written in steps, restored in steps, and what changed since."""
