"""The jobs of the command line: replay a scenario, tune its settings, make a journal from logs.

A scenario passes through the modules in this order: `document` (text to plain values), `decode` (plain
values to a `Scenario`), `build` (the source and the cache), `lookups`, `summary`, `output`. Each of
`replay`, `tuning` and `history` has a `job` that calls the others; `display` shows progress and result.
"""
