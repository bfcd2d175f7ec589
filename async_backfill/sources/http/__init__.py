"""Read keys from a JSON web service over HTTP; needs the extra ``http``, and asyncio.

`HTTPSource` is the source: one URL for each key. `Batch`, with `get_keys` or `post_keys`, lets one request
ask for many keys; `RetryPolicy` says when a request is sent again. Its errors are kinds of
`HTTPSourceError`.
"""

from async_backfill._common.extras import needed_by
from async_backfill.sources.http._answers import (
    AnswerError,
    HTTPSourceError,
    KeyTextError,
    NoAnswerError,
    StatusError,
)
from async_backfill.sources.http._attempts import RetryPolicy
from async_backfill.sources.http._batch import Batch, BatchRequest, get_keys, post_keys

with needed_by("async_backfill.sources.http", "http", "aiohttp"):
    from async_backfill.sources.http._source import HTTPSource

__all__ = [
    "AnswerError",
    "Batch",
    "BatchRequest",
    "HTTPSource",
    "HTTPSourceError",
    "KeyTextError",
    "NoAnswerError",
    "RetryPolicy",
    "StatusError",
    "get_keys",
    "post_keys",
]
