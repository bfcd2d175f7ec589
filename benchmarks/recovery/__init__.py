"""Whether a cache that was restarted gets back to where it was, and what that costs its source."""
