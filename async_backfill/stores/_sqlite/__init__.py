"""What `SQLiteStore` does in a thread: connections to the file, and the statements of one transaction."""
