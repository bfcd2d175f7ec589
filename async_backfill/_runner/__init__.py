"""The main job: read a scenario, replay its lookups through a cache, write the summary.

A scenario goes through the modules in this order: `document` (text to plain values), `decode` (plain
values to a `scenario.Scenario`), `build` (the source and the cache), `replay`, `summary`, `output`.
`job` is the one function that calls them all, `display` is what a person sees of it.
"""
