"""What a backfill costs that starts too easily, or that may push out what is in use."""
