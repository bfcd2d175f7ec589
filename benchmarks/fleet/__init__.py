"""What one fleet asks of its source and its far tier (L2) as it grows, in virtual time."""
