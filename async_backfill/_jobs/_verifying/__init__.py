"""Verify a job: compare its rows with the store, and retry those that are dead."""
