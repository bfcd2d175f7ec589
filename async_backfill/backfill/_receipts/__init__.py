"""The usefulness of backfills: receipts, the gate for successors, and the ghost list."""
