"""Invalidation after a commit of SQLAlchemy: what is committed, and nothing that is not."""

from __future__ import annotations

import logging

import pytest
from anyio import create_task_group, to_thread, wait_all_tasks_blocked

pytest.importorskip("sqlalchemy")

from sqlalchemy import (
    ColumnDefault,
    ForeignKey,
    StaticPool,
    create_engine,
    delete,
    event,
    insert,
    lambda_stmt,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    relationship,
    sessionmaker,
)

from async_backfill import BackfillCache, ConfigurationError, FreshnessPolicy, MappingSource
from async_backfill.frameworks.sqlalchemy import InvalidateAfterCommit
from async_backfill.testing import GatedSource
from tests.callers import start

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    price: Mapped[int] = mapped_column(default=0)
    parts: Mapped[list[Part]] = relationship(cascade="all, delete-orphan", back_populates="product")


class Part(Base):
    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    product: Mapped[Product] = relationship(back_populates="parts")


class Other(Base):
    __tablename__ = "others"
    id: Mapped[int] = mapped_column(primary_key=True)


KEPT = {"a": 1, "b": 2, "c": 3, "new": 4}


def in_memory():
    """A database with two products."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    # The driver begins no transaction before a savepoint otherwise.
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Product(id=1, slug="a"), Product(id=2, slug="b", parts=[Part(id=7)]), Other(id=1)])
        session.commit()
    return engine


@pytest.fixture
def engine():
    engine = in_memory()
    yield engine
    engine.dispose()


@pytest.fixture
def make(engine):
    return sessionmaker(engine)


class Watched:
    """A cache of four slugs, watched sessions, and what has left the cache."""

    def __init__(self, cache, make, keys=None):
        self.cache = cache
        self.hook = InvalidateAfterCommit(cache, {Product: Product.slug} if keys is None else keys)
        self.hook.listen(make)
        self.make = make

    @property
    def gone(self):
        return "".join(key for key in "abc" if key not in self.cache) + "new" * ("new" not in self.cache)


@pytest.fixture
async def watched(make):
    async with BackfillCache(MappingSource({})) as cache:
        await cache.put_many(KEPT)
        yield Watched(cache, make)


def change(session, **values):
    """Change the first product."""
    product = session.get(Product, 1)
    for name, value in values.items():
        setattr(product, name, value)


async def test_what_a_transaction_changed_adds_and_deletes_is_gone_when_commit_returns(watched):
    with watched.make() as session:
        change(session, price=5)
        session.add(Product(id=3, slug="new"))
        session.delete(session.get(Product, 2))
        session.flush()
        assert watched.gone == ""
        session.commit()
        assert watched.gone == "abnew"


@pytest.mark.parametrize("is_expired", [False, True])
async def test_the_old_value_of_a_key_that_is_changed_is_gone_as_well(watched, is_expired):
    with watched.make() as session:
        product = session.get(Product, 1)
        if is_expired:
            session.expire(product)
        product.slug = "c"
        session.commit()

    assert watched.gone == "ac"


async def test_a_change_of_an_object_that_is_not_loaded_counts(watched):
    with watched.make() as session:
        product = session.get(Product, 1)
        session.commit()
        product.price = 5
        session.commit()

    assert watched.gone == "a"


async def test_what_is_rolled_back_or_left_is_not_gone(watched):
    with watched.make() as session:
        change(session, price=5)
        session.flush()
        session.rollback()
        change(session, price=6)
        session.flush()
    with watched.make() as session:
        session.get(Product, 2).price = 1
        session.commit()

    assert watched.gone == "b"


async def test_what_is_only_read_is_not_gone(watched):
    with watched.make() as session:
        assert session.get(Product, 1).price == 0
        session.add(Other(id=2))
        session.commit()

    assert watched.gone == ""


async def test_a_savepoint_that_is_released_counts_and_one_that_is_rolled_back_does_not(watched):
    with watched.make() as session:
        change(session, price=5)
        with session.begin_nested():
            session.add(Product(id=3, slug="c"))
            assert watched.gone == ""
        assert watched.gone == ""
        undone = session.begin_nested()
        session.get(Product, 2).price = 5
        with session.begin_nested():
            session.add(Product(id=4, slug="new"))
        undone.rollback()
        session.commit()

    assert watched.gone == "ac"


async def test_a_savepoint_keeps_what_was_known_before_it(watched):
    with watched.make() as session:
        session.execute(delete(Product).execution_options(invalidates="all"))
        session.begin_nested().rollback()
        session.commit()
    assert watched.gone == "abcnew"


async def test_all_is_undone_with_its_savepoint(watched):
    with watched.make() as session:
        undone = session.begin_nested()
        session.execute(delete(Product).execution_options(invalidates="all"))
        undone.rollback()
        session.commit()
    assert watched.gone == ""


async def test_a_commit_that_raises_may_have_arrived_so_it_counts(watched, engine):
    def lost(_):
        raise ConnectionError("lost")

    with watched.make() as session:
        change(session, price=5)
        session.flush()
        event.listen(engine, "commit", lost)
        with pytest.raises(ConnectionError):
            session.commit()
        event.remove(engine, "commit", lost)
        session.rollback()

    assert watched.gone == "a"


async def test_an_orphan_that_a_flush_deletes_counts(make):
    async with BackfillCache(MappingSource({})) as cache:
        await cache.put(7, "part")
        watched = Watched(cache, make, {Part: Part.id})
        with watched.make() as session:
            product = session.get(Product, 2)
            product.parts.clear()
            session.commit()
        assert 7 not in cache


async def test_a_function_names_all_keys_that_depend_on_an_object(make):
    async with BackfillCache(MappingSource({})) as cache:
        await cache.put_many(KEPT)
        watched = Watched(cache, make, {Product: lambda product: [product.slug, "c"]})
        with watched.make() as session:
            change(session, price=5)
            session.commit()
        assert watched.gone == "ac"


@pytest.mark.parametrize("keys", ["a", b"a", 1, None])
async def test_one_key_in_place_of_several_is_refused(make, keys):
    async with BackfillCache(MappingSource({})) as cache:
        watched = Watched(cache, make, {Product: lambda _: keys})
        with watched.make() as session:
            change(session, price=5)
            with pytest.raises(ConfigurationError, match=r"return a list, such as \[product.id\]"):
                session.commit()


def test_a_class_that_is_not_mapped_is_refused():
    with pytest.raises(ConfigurationError, match="is no mapped class"):
        InvalidateAfterCommit(BackfillCache(MappingSource({})), {dict: lambda _: []})


@pytest.mark.parametrize(
    "statement",
    [
        update(Product).where(Product.id == 1).values(price=5),
        delete(Product),
        insert(Product).values(id=9, slug="new"),
        update(Product.__table__).values(price=5),
        update(Product.__table__.alias("p")).values(price=5),
        update(aliased(Product)).values(price=5),
        delete(Product.__table__.alias("p")),
        insert(Product).from_select(["id", "slug"], select(Other.id + 8, literal("new"))),
        select(Product).from_statement(update(Product).values(price=5).returning(Product)),
        lambda_stmt(lambda: update(Product).values(price=5)),
    ],
    ids=[
        *("update", "delete", "insert", "table", "alias", "alias of a class", "delete an alias"),
        *("insert from select", "from_statement", "lambda"),
    ],
)
async def test_a_statement_says_which_keys_it_changes_or_is_refused(watched, statement):
    with watched.make() as session:
        with pytest.raises(
            ConfigurationError, match=r"invalidates: .* rows of 'products', and it is not known"
        ):
            session.execute(statement)
        session.execute(statement, execution_options={"invalidates": ["a", "c"]})
        assert watched.gone == ""
        session.commit()

    assert watched.gone == "ac"


def in_a_cte(changes):
    """Return a SELECT with an UPDATE in it; SQLite has none, so the statement is not sent."""
    return select(changes.returning(Product.id).cte().c.id)


@pytest.mark.parametrize(
    "wrapped",
    [
        in_a_cte,
        lambda changes: select(Other).where(Other.id.in_(in_a_cte(changes))),
        lambda changes: select(Other).add_cte(changes.cte()),
        lambda changes: select(Other).from_statement(in_a_cte(changes)),
        lambda changes: insert(Other).from_select(["id"], in_a_cte(changes)),
    ],
    ids=["select", "subquery", "add_cte", "from_statement", "insert from select"],
)
async def test_a_change_inside_of_a_statement_says_which_keys_as_well(watched, wrapped):
    changes = update(Product).values(price=5)
    with watched.make() as session:
        with pytest.raises(ConfigurationError, match="a statement changes rows of 'products', and it is"):
            session.execute(wrapped(changes))
        for said in (
            wrapped(changes.execution_options(invalidates=["a"])),
            wrapped(changes).execution_options(invalidates=["c"]),
        ):
            with pytest.raises(OperationalError):
                session.execute(said)
        session.commit()

    assert watched.gone == "ac"


async def test_a_change_is_found_within_parts_that_are_used_many_times(watched):
    part = update(Product).values(price=5).returning(Product.id).cte()
    for _ in range(16):  # each is twice in the next one: walked through as often, it would take days
        before = part.alias()
        part = select(part.c.id).join(before, before.c.id > part.c.id).cte()
    with watched.make() as session, pytest.raises(ConfigurationError, match="rows of 'products'"):
        session.execute(select(part.c.id))


async def test_what_is_no_statement_passes(watched):
    with watched.make() as session:
        assert session.scalar(ColumnDefault(5)) == 5
        session.commit()

    assert watched.gone == ""


async def test_statements_for_other_tables_and_texts_pass(watched):
    with watched.make() as session:
        session.execute(delete(Other).where(Other.id.in_(select(Product.id))))
        session.execute(select(Product).join(Part))
        assert len(session.get(Product, 2).parts) == 1
        session.execute(text("UPDATE products SET price = 5"))
        session.commit()

    assert watched.gone == ""


async def test_keys_may_be_added_by_hand_also_to_a_session_that_nobody_watches(watched, engine):
    for session in (watched.make(), Session(engine)):
        with session:
            session.execute(text("SELECT 1"))
            watched.hook.add(session, ["a"])
            session.rollback()
            watched.hook.add(session, ["b", "c"])
            session.execute(text("UPDATE products SET price = 5"))
            session.commit()
        assert watched.gone == "bc"
        await watched.cache.put_many(KEPT)


async def test_keys_added_to_a_session_that_is_watched_cost_no_further_statement(watched, engine):
    asked = []
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    for keys in ([], ["c"]):
        with watched.make() as session:
            product = session.get(Product, 1)
            session.commit()  # what it has is read again
            if keys:
                watched.hook.add(session, keys)
            product.slug = f"a{len(keys)}"
            session.commit()

    assert len(asked) % 2 == 0
    assert asked[: len(asked) // 2] == asked[len(asked) // 2 :]


async def test_a_load_that_has_read_the_old_row_is_not_kept(make):
    source = GatedSource({"a": "old"})
    async with BackfillCache(source) as cache, create_task_group() as group:
        watched = Watched(cache, make)
        caller = start(group, cache.get, "a")
        await wait_all_tasks_blocked()
        with watched.make() as session:
            change(session, price=5)
            session.commit()
        source.open()
        await wait_all_tasks_blocked()

        assert caller.outcome == "old"
        assert "a" not in cache


async def test_a_new_row_ends_the_remembered_absence_of_its_key(make):
    rows = {}
    policy = FreshnessPolicy(absent_ttl=60.0)
    async with BackfillCache(MappingSource(rows), freshness=policy) as cache:
        assert await cache.get("new") is None
        with Watched(cache, make).make() as session:
            session.add(Product(slug="new"))
            rows["new"] = 1
            session.commit()
        assert await cache.get("new") == 1


async def test_a_session_of_another_thread_invalidates_in_the_loop_of_the_cache(watched):
    def work():
        with watched.make() as session:
            change(session, price=5)
            session.commit()

    await to_thread.run_sync(work)
    await wait_all_tasks_blocked()
    assert watched.gone == "a"


async def test_a_closed_cache_costs_no_commit_and_is_counted_and_logged(make, caplog):
    async with BackfillCache(MappingSource({})) as cache:
        watched = Watched(cache, make)
    with watched.make() as session:
        change(session, price=5)
        session.commit()
        change(session, price=6)
        session.commit()

    assert watched.hook.failed == 2
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("async_backfill.frameworks", logging.WARNING)
    assert record.getMessage().startswith(
        "a transaction was committed, and 1 keys of it are not invalidated: CacheClosedError: "
    )


async def test_a_session_leaves_nothing_behind(watched):
    with watched.make() as session:
        for _ in range(3):
            with session.begin_nested():
                change(session, price=session.get(Product, 1).price + 1)
            session.commit()
        assert session.info == {}
