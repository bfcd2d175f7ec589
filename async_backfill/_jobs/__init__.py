"""Durable jobs: plan, approve, run and verify the copy of a whole source into the far tier (L2)."""
