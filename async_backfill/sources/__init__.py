"""Sources, one module a kind."""
