"""When and what to backfill: the trigger, the budget, and files for the journal and the audit log."""
