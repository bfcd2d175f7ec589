"""A fleet of three processes before real servers, and all that can go wrong: ``python -m tests.chaos``."""
