"""Job files: what a durable job copies from where to where, and the opener of these two ends."""
