"""The audit log in memory, and the task that writes it to an audit sink."""
