"""How fast rows of PostgreSQL get into Redis, beside the practical limit and a naive copy."""
