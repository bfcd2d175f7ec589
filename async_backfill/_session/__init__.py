"""What `async with cache:` wires together, opens and closes."""
