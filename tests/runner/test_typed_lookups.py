"""Lookups as keys of the type of the source."""

from __future__ import annotations

from async_backfill._runner.scenario.typed_lookups import typed_lookups


def test_equal_keys_of_a_long_file_are_one_object():
    texts = typed_lookups(["".join(letters) for letters in (["a", "b"],) * 3], "str", str)
    assert list(texts) == ["ab"] * 3
    assert len({id(key) for key in texts}) == 1
    numbers = typed_lookups([str(10**9)] * 3, "int", str)
    assert list(numbers) == [10**9] * 3
    assert len({id(key) for key in numbers}) == 1
