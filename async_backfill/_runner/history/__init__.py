"""Make a journal of hot keys from logs, for the first start of a cache.

A log passes through the modules in this order: `pieces` (bytes of a file or of standard input), `blocks`
(unpacked whole lines), `formats` (the keys in the lines). `job` calls them all.
"""
