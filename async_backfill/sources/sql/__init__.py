"""Read keys from an SQL database, with SQLAlchemy; needs the extra ``sql``, and asyncio.

`SQLSource` reads a table or view and can scan its keys, `StatementSource` runs a statement of your own.
`open_database` makes an engine from a URL. `QueryError` is raised when the database refuses a query.
"""

from async_backfill._common.extras import needed_by

with needed_by("async_backfill.sources.sql", "sql", "greenlet", "sqlalchemy"):
    from async_backfill.sources.sql._database import open_database
    from async_backfill.sources.sql._errors import QueryError
    from async_backfill.sources.sql._source import SQLSource
    from async_backfill.sources.sql._statement import StatementSource

__all__ = ["QueryError", "SQLSource", "StatementSource", "open_database"]
