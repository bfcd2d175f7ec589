"""What it costs a hit that the cache keeps a record of what is hot."""
