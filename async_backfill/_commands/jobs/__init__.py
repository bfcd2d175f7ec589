"""The command ``jobs``: one verb, or a few that belong together, a file."""
