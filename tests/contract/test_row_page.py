"""A page of rows is a dict that knows more."""

from __future__ import annotations

import pickle

from async_backfill.contracts import RowPage
from async_backfill.outcomes import Failed


def test_a_page_compares_and_is_read_as_the_dict_of_its_rows():
    page = RowPage({"a": 1, "b": None}, cursor="b", failed={"c": Failed(ValueError())})

    assert page == {"a": 1, "b": None}
    assert dict(page) == {"a": 1, "b": None}
    assert [*page] == ["a", "b"]
    assert (page.cursor, [*page.failed]) == ("b", ["c"])


def test_a_page_of_pairs_has_nothing_that_failed():
    page = RowPage([(1, "x"), (2, "y")], cursor=(2, 7))

    assert page == {1: "x", 2: "y"}
    assert page.failed == {}


def test_a_page_goes_to_another_process_whole():
    for page in (
        RowPage({"a": 1}, cursor=("a", 2)),
        RowPage[str, int](cursor="b", failed={"b": Failed(ValueError("no"))}),
    ):
        copied = pickle.loads(pickle.dumps(page))  # noqa: S301 - our own bytes

        assert (type(copied), copied, copied.cursor) == (RowPage, page, page.cursor)
        assert [(key, str(failed.error)) for key, failed in copied.failed.items()] == [
            (key, str(failed.error)) for key, failed in page.failed.items()
        ]
