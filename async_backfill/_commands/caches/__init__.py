"""The command ``caches``: orders to running caches, through the API of the operator's page."""
