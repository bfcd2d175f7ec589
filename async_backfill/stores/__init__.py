"""Stores, one module a kind."""
