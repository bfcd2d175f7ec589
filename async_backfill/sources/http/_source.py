"""A source that reads a JSON web service over HTTP; needs the extra ``http``, and asyncio."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Self

from anyio import create_task_group, move_on_after

from async_backfill._common.loose_types import K, V
from async_backfill._common.other_keys import failures
from async_backfill._common.validation import positive_seconds, whole
from async_backfill.contracts import CallLimits, LimitedSource, NeedsAsyncio, Seconds
from async_backfill.outcomes import ABSENT, Absent, Failed
from async_backfill.sources.http._answers import (
    GONE,
    VALUE,
    HTTPSourceError,
    NoAnswerError,
)
from async_backfill.sources.http._attempts import Attempts, RetryPolicy
from async_backfill.sources.http._batch import Batch, BatchRequest
from async_backfill.sources.http._batch_size import BatchSize
from async_backfill.sources.http._exchange import Exchange
from async_backfill.sources.http._headers import Made, OwnHeaders
from async_backfill.sources.http._proxies import Proxies
from async_backfill.sources.http._redirects import Redirects, redirects_of
from async_backfill.sources.http._request_parts import check_url
from async_backfill.sources.http._services import Service, Services
from async_backfill.sources.http._template import KeyURL, key_text, shown, utf8
from async_backfill.sources.http._text import utf8_json
from async_backfill.sources.http._values import ValueReader, other_answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from async_backfill.sources.http._answers import Answer


class HTTPSource(NeedsAsyncio, LimitedSource, Generic[K, V]):
    """A source that reads each key from its own URL, or many keys with one batch request.

    200 is a value, 404 and 410 mean that the key does not exist, and any other answer fails its key alone.
    Without an answer, and after 5xx, the request is sent again as `RetryPolicy` says; after 429 and 503 with
    ``Retry-After`` no request is sent until that time. The first load opens the connections; `aclose` or the
    end of ``async with`` closes them. They belong to this source alone and keep no cookies. Only https
    detects a bit that flips on its way.

    Secrets belong into ``headers``, or into the user and password of ``url``: neither is ever shown, and both
    are sent to the host of ``url`` only. Two keys with the same text, such as ``1`` and ``"1"``, share a URL.

    :param url: the URL of one key, such as ``https://host/items/{key}``.
    :param value_type: the type of a value, for msgspec; JSON of another type fails its key.
    :param key_text: a function that returns the text of a key, which is percent-encoded into the URL.
    :param batch: the form of a request for many keys; ``None`` sends one request for each key.
    :param headers: headers of each request, or a function that returns or awaits those of the next one, for
        tokens that expire. What it raises fails the request and is not shown.
    :param retry: when to send a request again; ``None`` is the default `RetryPolicy`.
    :param concurrency: the largest number of requests, and of connections, at the same time.
    :param timeout: seconds for one `load_many`; a key without an answer by then fails alone. It should be
        less than ``LoadPolicy.timeout``, which fails all keys.
    :param max_body: the largest allowed answer in bytes, packed and unpacked.
    :param redirects: where redirects may lead: ``"same-origin"`` to the scheme, host and port that was asked,
        and from http to https; ``"any"`` to any server, never from https to http: it gets no ``headers``, but
        the keys of a POST.
    :param max_redirects: the largest number of redirects of one request.
    :param proxy: the URL of an http or https proxy; its user and password are never shown.
    :param trust_env: whether the environment names the proxies when ``proxy`` is not given: ``HTTP_PROXY``,
        ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``. No ``.netrc`` is read.
    :param ssl_context: the TLS settings, such as for your own certificate; ``None`` is the system's.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own
        self,
        url: str,
        *,
        value_type: Any = Any,
        key_text: Callable[[K], str] = key_text,
        batch: Batch[K, V] | None = None,
        headers: Mapping[str, str] | Callable[[], Made] | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int = 10,
        timeout: Seconds = 25.0,
        max_body: int = 10_000_000,
        redirects: Redirects = "same-origin",
        max_redirects: int = 3,
        proxy: str | None = None,
        trust_env: bool = False,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._url = KeyURL(url)
        check_url("url", self._url.of("key"))
        self._key_text = key_text
        self._batch = batch
        self._headers = OwnHeaders(headers, self._url.authorization)
        self._concurrency = whole("concurrency", concurrency, least=1)
        # One request a load, so that a slow one delays no key of another.
        most = 1 if batch is None else batch.max_keys
        self.call_limits = CallLimits(max_batch=most, concurrency=self._concurrency)
        self._timeout = positive_seconds("timeout", timeout)
        self._max_body = whole("max_body", max_body, least=1)
        self._redirects = redirects_of(redirects)
        self._max_redirects = whole("max_redirects", max_redirects, least=0)
        self._proxies = Proxies(proxy, trust_env=trust_env)
        self._ssl_context = ssl_context
        self._retry = retry or RetryPolicy()
        self._values: ValueReader[V] = ValueReader(value_type)
        self._services = Services(self._made, self._url.shown)

    def __repr__(self) -> str:
        return f"HTTPSource({self._url.shown!r})"

    async def __aenter__(self) -> Self:
        self._services.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; loads in progress and later ones fail, until the source is opened again."""
        await self._services.aclose()

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V | Failed]:
        """Return the values of those ``keys`` that the service has; a key that could not be read is `Failed`.

        :raises LoadError: when the source is closed.
        """
        service = self._services.current()
        answers: dict[K, V | Failed | Absent] = {}
        texts = self._texts(keys, answers)
        jobs = deque(service.size.pieces(texts))

        async def work() -> None:
            while jobs:
                job = jobs.popleft()
                if len(job) > service.size.now:  # another request was too long meanwhile
                    jobs.extendleft(reversed([*service.size.pieces(job)]))
                    continue
                answers.update(await self._answer(service, job, jobs))

        with move_on_after(self._timeout):
            if len(jobs) == 1:
                await work()
            else:
                async with create_task_group() as tasks:
                    for _ in range(min(self._concurrency, len(jobs))):
                        tasks.start_soon(work)
        late = Failed(NoAnswerError(f"no answer from {self._url.shown} within timeout={self._timeout} s"))
        found = {key: answers.get(key, late) for key in keys}
        return {key: answer for key, answer in found.items() if not isinstance(answer, Absent)}

    def _made(self) -> Service:
        exchange = Exchange(
            self._url.of("key"),
            self._headers,
            max_body=self._max_body,
            redirects=self._redirects,
            max_redirects=self._max_redirects,
            proxies=self._proxies,
            connections=self._concurrency,
            ssl_context=self._ssl_context,
        )
        most, too_long = (1, ()) if self._batch is None else (self._batch.max_keys, self._batch.too_long)
        return Service(
            exchange,
            Attempts(self._retry, concurrency=self._concurrency),
            BatchSize(most, too_long, host=self._url.host),
        )

    def _texts(self, keys: Sequence[K], answers: dict[K, V | Failed | Absent]) -> dict[K, str]:
        """Return the text of each key; a key without one becomes a failed answer."""
        texts: dict[K, str] = {}
        for key in keys:
            try:
                texts[key] = text = self._key_text(key)
                utf8(text)
            except Exception as error:  # noqa: BLE001 - the user's code; it is the failure of this key
                texts.pop(key, None)
                answers[key] = Failed(error)
        return texts

    async def _answer(
        self, service: Service, job: dict[K, str], jobs: deque[dict[K, str]]
    ) -> Mapping[K, V | Failed | Absent]:
        """Return the answers of ``job``; none when it was too long, and stands in ``jobs`` in pieces now."""
        try:
            if self._batch is not None and len(job) > 1:
                found = await self._together(service, self._batch, job)
                service.size.was_taken(len(job))
                return found
            ((key, text),) = job.items()
            return {key: await self._alone(service, text)}
        except HTTPSourceError as error:
            if len(job) > 1 and service.size.cuts(error, len(job)):
                jobs.extendleft(reversed([*service.size.pieces(job)]))
                return {}
            return dict.fromkeys(job, Failed(error))
        except Exception as error:  # noqa: BLE001 - other keys of the load go on
            return dict.fromkeys(job, Failed(error))

    async def _alone(self, service: Service, text: str) -> V | Absent:
        answer = await service.ask(BatchRequest("GET", self._url.of(text)), self._url.shown)
        if answer.status in GONE:
            return ABSENT
        body = utf8_json(_body(answer, self._url.shown), answer.charset, self._url.shown)
        return self._values.one(body, self._url.shown)

    async def _together(
        self, service: Service, batch: Batch[K, V], job: Mapping[K, str]
    ) -> Mapping[K, V | Failed | Absent]:
        request = batch.request(tuple(job))
        place = shown(request.url)
        answer = await service.ask(request, place)
        body = _body(answer, place)
        if batch.read is not None:
            read = batch.read(body)
            return {key: read.get(key, ABSENT) for key in job} | failures(job, read, other_answer(place))
        return self._values.named(utf8_json(body, answer.charset, place), job, place)


def _body(answer: Answer, place: str) -> bytes:
    if answer.status not in VALUE:
        raise answer.refusal(place)
    return answer.body
