"""Which eviction order hits how often, beside the figures of a simulator where there are any."""
