"""Eviction orders: FIFO, LRU, SIEVE and S3-FIFO."""
