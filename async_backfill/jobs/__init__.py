"""Durable jobs: plan, approve, run, pause, resume and verify the copy of a whole source into the far tier (L2)."""
