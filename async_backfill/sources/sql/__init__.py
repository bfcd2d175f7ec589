"""Sources that ask an SQL database; need the extra ``sql``."""

from async_backfill.sources.sql._database import open_database
from async_backfill.sources.sql._errors import QueryError
from async_backfill.sources.sql._source import SQLSource
from async_backfill.sources.sql._statement import StatementSource

__all__ = ["QueryError", "SQLSource", "StatementSource", "open_database"]
