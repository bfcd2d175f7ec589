"""Trigger, permit, selection, load, audit: one backfill."""
