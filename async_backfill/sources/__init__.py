"""Ready-made sources: one module for each kind, nothing to import from here."""

__all__: list[str] = []
