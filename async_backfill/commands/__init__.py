"""The commands, one a module: a function that turns options into what to run and how to tell of it."""
