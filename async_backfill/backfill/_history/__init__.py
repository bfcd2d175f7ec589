"""Backfill from history: hot keys, the selection of the hottest, the journal, readiness."""
