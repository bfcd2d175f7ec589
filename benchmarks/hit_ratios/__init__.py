"""The hit ratio of each eviction order, beside the figures of other simulators."""
