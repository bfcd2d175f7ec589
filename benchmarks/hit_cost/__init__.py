"""The cost of a hit for keeping a record of the hot keys."""
