"""Backfill from history: the hot keys, their selection, their journal, and readiness."""
