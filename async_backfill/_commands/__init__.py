"""The commands, one a module: a function that turns options into what to run and how to tell of it.

Its docstring is the help. What it returns is a `command.Command`; `async_backfill._commands.cli` runs that.
"""
