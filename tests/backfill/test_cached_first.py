"""The heats for a journal, with the keys that are cached before all others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from async_backfill.backfill._history.cached_first import CachedFirst

heats = st.dictionaries(st.integers(0, 30), st.floats(0.0, 9.0))
some = st.lists(st.integers(0, 30), unique=True)


@given(heats=heats, cached=some, most=st.integers(1, 40))
def test_cached_keys_come_first_then_the_hottest_others_as_many_as_there_is_room_for(heats, cached, most):
    together = CachedFirst(heats, cached, most)
    keys = list(together)
    first, others = keys[: len(cached)], keys[len(cached) :]

    assert set(first) == set(cached)
    assert len(others) == min(len(heats.keys() - set(cached)), max(0, most - len(cached)))
    assert len(together) == len(keys)
    for part in (first, others):
        assert [together[key] for key in part] == sorted((together[key] for key in part), reverse=True)
    left_out = heats.keys() - set(keys)
    assert not others or all(heats[key] <= heats[others[-1]] for key in left_out)


@given(heats=heats, cached=some)
def test_of_a_cached_key_one_lookup_more_counts_because_hits_go_unnoted(heats, cached):
    together = CachedFirst(heats, cached, 99)

    assert all(together[key] == heats.get(key, 0.0) + 1.0 for key in cached)
    assert all(together[key] == heat for key, heat in heats.items() if key not in cached)


def test_equally_hot_ones_keep_the_order_in_which_they_were_given():
    assert list(CachedFirst({}, [5, 3, 9, 1], 9)) == [5, 3, 9, 1]
