"""What a session invalidates, whatever the order of its savepoints, commits and rollbacks."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sqlalchemy")

from sqlalchemy.orm import sessionmaker

from async_backfill import BackfillCache, MappingSource
from async_backfill.events import KeysInvalidated
from async_backfill.frameworks.sqlalchemy import InvalidateAfterCommit
from tests.frameworks.test_sqlalchemy import Product, in_memory


class Model:
    """A session, and beside it what each open savepoint has changed, and what was committed."""

    def __init__(self, session):
        self.session = session
        self.committed = set()
        self.levels = [set()]
        self.points = []

    def change(self, number):
        self.session.add(Product(id=number, slug="x"))
        self.levels[-1].add(number)

    def begin(self, _):
        self.points.append(self.session.begin_nested())
        self.levels.append(set())

    def release(self, _):
        if self.points:
            self.points.pop().commit()
            changed = self.levels.pop()
            self.levels[-1] |= changed

    def undo(self, _):
        if self.points:
            self.points.pop().rollback()
            self.levels.pop()

    def commit(self, _):
        self.session.commit()
        self.committed.update(*self.levels)
        self.levels, self.points = [set()], []

    def roll_back(self, _):
        self.session.rollback()
        self.levels, self.points = [set()], []


STEPS = st.lists(
    st.sampled_from([Model.change, Model.begin, Model.release, Model.undo, Model.commit, Model.roll_back]),
    max_size=20,
)


@settings(max_examples=25)
@given(steps=STEPS)
def test_whatever_the_order_of_savepoints_what_is_gone_is_what_was_committed(steps):
    gone = set()

    def heard(told):
        if isinstance(told, KeysInvalidated):
            gone.update(told.keys)

    async def main():
        engine = in_memory()
        make = sessionmaker(engine)
        async with BackfillCache(MappingSource({}), observers=[heard]) as cache:
            InvalidateAfterCommit(cache, {Product: Product.id}).listen(make)
            with make() as session:
                model = Model(session)
                for number, step in enumerate(steps, 10):
                    step(model, number)
                    assert gone == model.committed
        engine.dispose()

    anyio.run(main)
