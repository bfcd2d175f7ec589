"""Caches in web applications and beside an ORM, one module for each library.

`async_backfill.frameworks.starlette` is for FastAPI and Starlette, `async_backfill.frameworks.aiohttp` for
aiohttp, `async_backfill.frameworks.sqlalchemy` invalidates what a committed transaction has changed.
"""

__all__: list[str] = []
