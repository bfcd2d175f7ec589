"""What-if: the lookups of a scenario under many settings, and which of those are worth choosing.

`grid` says which settings to try, `trial` replays one of them, `workers` does so in processes,
`front` keeps what is worth choosing. `sampling` makes the scenario smaller, `report` and `table` tell of
the result, `plot` draws it. `job` is the one function that calls them all.
"""
