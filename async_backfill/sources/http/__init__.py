"""A source that asks a web service; needs the extra ``http``."""

from async_backfill.sources.http._answers import (
    AnswerError,
    HTTPSourceError,
    KeyTextError,
    NoAnswerError,
    StatusError,
)
from async_backfill.sources.http._attempts import RetryPolicy
from async_backfill.sources.http._batch import Batch, BatchRequest, get_keys, post_keys
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
