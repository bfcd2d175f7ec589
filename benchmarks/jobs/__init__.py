"""The speed of a durable job beside the copy that it is made of, and its memory."""
