"""What backfills were good for: receipts, the gate for successors, and the ghost list."""
