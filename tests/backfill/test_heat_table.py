"""The heat table against a dict: the same heats, and the key that is replaced is a coldest one."""

from __future__ import annotations

import sys

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from async_backfill.backfill._history.heat_table import HeatTable

KEYS = st.one_of(st.integers(0, 600), st.sampled_from([number << 40 for number in range(30)]))


def heats_of(table):
    keys = table.keys()
    return {key: table.heats[table.find(key)] for key in keys}


class AgainstADict(RuleBasedStateMachine):
    """Heats are whole numbers, so that many keys are equally hot and halving is exact."""

    @initialize(size=st.integers(1, 600))
    def begin(self, size):
        self.table, self.size, self.model, self.fresh, self.now = HeatTable(size), size, {}, 1000, 2.0**20

    def add_new(self, key, heat):
        if len(self.model) == self.size:
            gone = self.table._keys[self.table._coldest()]
            assert self.table.coldest_heat() == min(self.model.values())
            self.model.pop(gone)
        self.table.add(key, heat)
        self.model[key] = heat

    @rule(keys=st.lists(KEYS, max_size=30))
    def look_up(self, keys):
        for key in keys:
            self.now += 1.0
            if key in self.model:
                self.table.rise([key], self.now, 1.0)
                self.model[key] += self.now
            else:
                self.add_new(key, self.now)

    @rule(count=st.integers(1, 300))
    def look_up_new_ones(self, count):
        for key in range(self.fresh, self.fresh + count):
            self.now += 1.0
            self.add_new(key, self.now)
        self.fresh += count

    @rule(heat=st.integers(0, 2**22), count=st.integers(1, 20))
    def restore_some(self, heat, count):
        for key in range(self.fresh, self.fresh + count):
            self.add_new(key, float(heat))
        self.fresh += count

    @rule(every=st.integers(1, 7))
    def look_up_some_again(self, every):
        keys = [*self.model][::every]
        self.table.rise(keys, self.now, 1.0)
        for key in keys:
            self.model[key] += self.now

    @rule(every=st.integers(1, 7))
    def remove_some(self, every):
        for key in [*self.model, "not there"][::every]:
            self.table.remove(key)
            self.model.pop(key, None)

    @rule()
    def halve(self):
        self.table.scale(0.5)
        self.model = {key: heat * 0.5 for key, heat in self.model.items()}

    @invariant()
    def both_know_the_same_heats(self):
        table = self.table
        assert table.count == len(self.model)
        assert heats_of(table) == self.model
        assert not table.find("never added")

    @invariant()
    def a_copy_knows_them_too(self):
        copied = self.table.copy()
        assert copied.count == len(self.model)
        assert heats_of(copied) == self.model


AgainstADict.TestCase.settings = settings(deadline=None, max_examples=40, stateful_step_count=20)
TestAgainstADict = AgainstADict.TestCase


def test_a_key_takes_few_bytes_however_many_come_and_go():
    table = HeatTable(10_000)
    table.rise(range(50_000), 1.0, 1.00001)

    arrays = (table._hashes, table._chained, table._heads, table._keys, table.heats, table._lows)
    entries = sum(sys.getsizeof(known) + 3 * 32 for known in table._lowest)
    assert sum(map(sys.getsizeof, arrays)) + sys.getsizeof(table._lowest) + entries < 33 * 10_000


def test_a_cold_key_that_takes_a_free_place_among_hot_ones_is_replaced_next():
    table = HeatTable(1000)
    table.rise(range(1000), 1.0, 1.01)
    table.remove(900)
    table.add("cold", 0.5)

    assert table.coldest_heat() == 0.5
    table.add("new", 1e6)
    assert not table.find("cold")
    assert table.count == 1000
