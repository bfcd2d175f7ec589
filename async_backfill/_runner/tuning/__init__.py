"""Replay the lookups of a scenario under many settings, and find those worth choosing.

`grid` lists the settings to try, `search` orders the trials, `trial` replays one, `workers` runs trials in
processes, `front` selects the results. `sampling` makes the scenario smaller; `report`, `table` and `plot`
show the result. `job` calls them all.
"""
