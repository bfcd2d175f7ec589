"""Hot keys from logs: read what was asked for in the past, and write a journal that a cache starts from.

A log goes through the modules in this order: `pieces` (bytes from a file or standard input), `blocks`
(unpacked, whole lines), `formats` (the keys in them). `job` is the one function that calls them all.
"""
