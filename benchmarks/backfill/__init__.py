"""The speed of copying rows from PostgreSQL to Redis, beside the practical limit and a naive copy."""
