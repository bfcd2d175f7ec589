"""Logs: where the keys are in the lines of a file, and how such a file is recognised."""
