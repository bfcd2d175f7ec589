"""Where the truth is: one module a kind of source."""
