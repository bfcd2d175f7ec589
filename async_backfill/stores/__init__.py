"""Where copies are: one module a kind of store."""
