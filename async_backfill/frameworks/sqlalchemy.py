"""Invalidate what a transaction of SQLAlchemy has changed, once it is committed; needs the extra ``sql``."""

from __future__ import annotations

import logging
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill._common.error_text import error_line
from async_backfill._common.extras import needed_by
from async_backfill._common.line_a_second import LineASecond
from async_backfill.contracts import K
from async_backfill.errors import ConfigurationError

with needed_by("async_backfill.frameworks.sqlalchemy", "sql", "sqlalchemy", "greenlet"):
    from sqlalchemy import event, inspect, select
    from sqlalchemy.exc import NoInspectionAvailable
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
    from sqlalchemy.orm import InstrumentedAttribute

    from async_backfill.frameworks._statements import ALL, said_by, several

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sqlalchemy.orm import (
        InstanceState,
        Mapper,
        ORMExecuteState,
        Session,
        SessionTransaction,
        UOWTransaction,
        scoped_session,
        sessionmaker,
    )

    from async_backfill._cache import BackfillCache

__all__ = ["InvalidateAfterCommit"]

_LOGGER: Final = logging.getLogger("async_backfill.frameworks")


class InvalidateAfterCommit(Generic[K]):
    """Invalidates in ``cache`` the keys of the objects that a session has added, changed or deleted.

    It does so right after COMMIT, before ``commit()`` returns: a load that has read the old rows by then is
    not kept. After a rollback, also one to a savepoint, nothing is invalidated for what was undone; after a
    commit that raised everything is, because it may have reached the database. It raises nothing then: what
    could not be invalidated is logged, and counted in ``failed``. Keys are removed with
    `BackfillCache.invalidate_soon`, so sessions may be used in other threads than the cache.

    It sees what the unit of work writes. A statement of INSERT, UPDATE or DELETE for a table of ``keys`` must
    say what it changes: ``update(Product).where(...).execution_options(invalidates=[7, 8])``, ``[]`` for no
    key or ``"all"`` for every one; without that it is refused. It sees no text, no ``bulk_save_objects``, no
    ``session.connection()``, no trigger and no cascade of the database, and no other process: call `add` for
    these.

    :param keys: for each mapped class the attribute that is its key in the cache, whose old value counts as
        well, or a function that returns the keys that depend on an object. Classes below it count as well.
    :raises ConfigurationError: when a class is not mapped.
    """

    def __init__(
        self,
        cache: BackfillCache[K, Any],
        keys: Mapping[type, InstrumentedAttribute[K] | Callable[[Any], Iterable[K]]],
    ) -> None:
        self._cache = cache
        self._keys = dict(keys)
        self._lines = LineASecond(_LOGGER, time.monotonic)
        self.failed = 0
        for mapped in keys:
            try:
                inspect(mapped)
            except NoInspectionAvailable:
                raise ConfigurationError("keys", f"{mapped!r} is no mapped class") from None

    def listen(
        self,
        sessions: Session
        | type[Session]
        | sessionmaker[Any]
        | scoped_session[Any]
        | AsyncSession
        | async_sessionmaker[Any],
    ) -> None:
        """Watch one session, or all that a maker or a class makes from now on."""
        target: Any = sessions
        if isinstance(sessions, async_sessionmaker):
            base = sessions.kw.get("sync_session_class", sessions.class_.sync_session_class)
            if isinstance(base, type):
                base = type(base.__name__, (base,), {})
                sessions.configure(sync_session_class=base)
            target = base
        elif isinstance(sessions, AsyncSession):
            target = sessions.sync_session
        for name, heard in (
            ("do_orm_execute", self._executed),
            ("before_flush", self._before_flush),
            ("after_flush", self._after_flush),
            ("after_flush_postexec", self._flushed),
            ("after_transaction_create", self._begun),
            ("before_commit", self._committing),
            ("after_commit", self._committed),
            ("after_transaction_end", self._ended),
        ):
            if not event.contains(target, name, heard):
                event.listen(target, name, heard)

    def add(self, session: Session | AsyncSession, keys: Iterable[K]) -> None:
        """Invalidate ``keys`` as well, if the transaction that ``session`` is in, or begins next, commits."""
        sync = session.sync_session if isinstance(session, AsyncSession) else session
        if self._committed not in sync.dispatch.after_commit:  # of its own, or of its maker or class
            self.listen(sync)
        self._pending(sync).keys.extend(several(keys))

    def _pending(self, session: Session) -> _Pending[K]:
        pending: _Pending[K] = session.info.setdefault(self, _Pending())
        return pending

    def _executed(self, state: ORMExecuteState) -> None:
        said = said_by(state, self._tables)
        if said:
            self._pending(state.session).keys.extend(said)

    @cached_property
    def _tables(self) -> frozenset[Any]:
        mappers: list[Mapper[Any]] = [inspect(mapped) for mapped in self._keys]
        return frozenset(
            table for mapper in mappers for one in mapper.self_and_descendants for table in one.tables
        )

    def _before_flush(self, session: Session, _: UOWTransaction, __: object) -> None:
        # While the old values are in the objects, or in the database.
        for changed in (*session.dirty, *session.deleted):
            self._note(session, changed)

    def _after_flush(self, session: Session, _: UOWTransaction) -> None:
        self._pending(session).flushed += [*session.new, *session.dirty]
        for deleted in session.deleted:  # also those that became orphans in this flush
            self._note(session, deleted)

    def _flushed(self, session: Session, _: UOWTransaction) -> None:
        pending = self._pending(session)
        flushed, pending.flushed = pending.flushed, []
        for changed in flushed:
            self._note(session, changed)

    def _note(self, session: Session, changed: object) -> None:
        for mapped, key in self._keys.items():
            if isinstance(changed, mapped):
                if isinstance(key, InstrumentedAttribute):
                    self._pending(session).keys.extend(_values(session, changed, key))
                else:
                    self._pending(session).keys.extend(several(key(changed)))

    def _begun(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested:
            pending = self._pending(session)
            pending.savepoints[transaction] = len(pending.keys)

    def _committing(self, session: Session) -> None:
        if session.get_nested_transaction() is None:
            self._pending(session).is_committing = True

    def _committed(self, session: Session) -> None:
        nested = session.get_nested_transaction()
        if nested is not None:  # a savepoint is released: it counts if the transaction around it commits
            self._pending(session).savepoints.pop(nested, None)
        else:
            self._invalidate(session)

    def _ended(self, session: Session, transaction: SessionTransaction) -> None:
        pending = self._pending(session)
        if transaction.nested:
            kept = pending.savepoints.pop(transaction, None)
            if kept is not None:
                del pending.keys[kept:]
        elif transaction.parent is None:
            if pending.is_committing:
                self._invalidate(session)
            session.info.pop(self, None)

    def _invalidate(self, session: Session) -> None:
        pending: _Pending[K] = session.info.pop(self, None) or _Pending()
        if not pending.keys:
            return
        is_all = any(key is ALL for key in pending.keys)
        keys: Any = None if is_all else dict.fromkeys(pending.keys)
        try:
            self._cache.invalidate_soon(keys)
        except Exception as error:  # noqa: BLE001 - it is committed: the caller must not take it for undone
            count = "all" if keys is None else len(keys)
            self.failed += 1
            self._lines.warning(
                "a transaction was committed, and %s keys of it are not invalidated: %s",
                count,
                error_line(error),
            )


class _Pending(Generic[K]):
    """What is to be invalidated if a transaction commits.

    ``keys``
        in the order in which they were noted, so that a savepoint can be undone; `ALL` among them is all.
    ``savepoints``
        how many of them there were when each savepoint began that has not been released.
    ``flushed``
        objects whose new values are known when the flush has ended.
    """

    def __init__(self) -> None:
        self.keys: list[K | object] = []
        self.savepoints: dict[SessionTransaction, int] = {}
        self.flushed: list[object] = []
        self.is_committing = False


def _values(session: Session, changed: object, key: InstrumentedAttribute[K]) -> Iterator[K]:
    """Return the old and the new values of an attribute; what is not loaded is read from the database."""
    state: InstanceState[Any] = inspect(changed)
    history = state.attrs[key.key].history
    known = [*history.unchanged, *history.added, *history.deleted]
    if state.persistent and not history.deleted and (history.added or not known):
        if history.added:
            mapper = state.mapper
            same = [
                column == value
                for column, value in zip(mapper.primary_key, state.identity or (), strict=True)
            ]
            with session.no_autoflush:
                known += session.scalars(select(key).where(*same)).all()
        else:
            known.append(getattr(changed, key.key))
    return (value for value in known if value is not None)
