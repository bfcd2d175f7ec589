"""Backfills: the trigger, the budget, and files for the journal and the audit log."""

__all__: list[str] = []
