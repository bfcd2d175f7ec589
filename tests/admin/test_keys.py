"""Keys that people type, and keys in JSON."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from async_backfill import ConfigurationError
from async_backfill.admin._keys import key_of_json, typed_key


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("77", "str", "77"),
        (" a ", "str", " a "),
        ("-77", "int", -77),
        ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", "uuid", UUID("1b4e28ba-2fa1-11d2-883f-0016d3cca427")),
        ("2026-03-01", "date", date(2026, 3, 1)),
        ("1.50", "decimal", Decimal("1.50")),
        ('["a", [1, true]]', "json", ("a", (1, True))),
        ('"77"', "json", "77"),
    ],
)
def test_a_key_is_typed_as_text_or_as_its_type_says(text, kind, key):
    found = typed_key(text, kind)
    assert found == key
    assert type(found) is type(key)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *(
            ("", "str"),
            ("x" * 5_000, "str"),
            ("x", "int"),
            ("1.5", "int"),
            ("x", "uuid"),
            ("2026-02-30", "date"),
        ),
        *(
            ("x", "decimal"),
            ("{", "json"),
            ("{}", "json"),
            ("null", "json"),
            ("NaN", "json"),
            ("1e999", "json"),
        ),
        *(("[" * 5_000, "json"), ("[[[[[[[[[[1]]]]]]]]]]", "json"), ("x", "bytes")),
    ],
)
def test_what_is_no_key_is_refused(text, kind):
    with pytest.raises(ConfigurationError, match="key"):
        typed_key(text, kind)


@pytest.mark.parametrize("value", [None, {}, {"a": 1}, float("nan"), float("inf"), [None], [{}]])
def test_json_that_is_no_key_is_refused(value):
    with pytest.raises(ConfigurationError, match="key"):
        key_of_json(value)
