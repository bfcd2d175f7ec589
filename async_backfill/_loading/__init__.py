"""From many waiting callers to few source calls."""
