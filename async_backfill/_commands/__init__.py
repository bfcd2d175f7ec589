"""The commands of the command line, one module for each.

A command is a function that turns options into a `Command`, which `cli` runs; its docstring is the help.
"""
