"""The name of a state, as it may be shown."""

from __future__ import annotations

import pytest

from async_backfill._jobs._state.naming import is_of_server, shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jobs.sqlite", "jobs.sqlite"),
        ("/a/b:c@d", "/a/b:c@d"),
        ("postgresql://ada@h/d", "postgresql://ada@h/d"),
        ("postgresql://ada:secret@h:5432/d?schema=x", "postgresql://ada:***@h:5432/d?schema=x"),
        ("POSTGRES://ada:se@cr/e?t@h/d", "POSTGRES://ada:***@h/d"),
        ("postgresql+asyncpg://ada:secret@h/d", "postgresql+asyncpg://ada:***@h/d"),
        ("postgresql://ada:${PW}@h/d", "postgresql://ada:${PW}@h/d"),
        ("postgresql://ada:${PW}secret@h/d", "postgresql://ada:***@h/d"),
        (
            "postgresql://ada:secret@a:5432,b:5432/d?sslpassword=secret&schema=x",
            "postgresql://ada:***@a:5432,b:5432/d?sslpassword=***&schema=x",
        ),
        (
            "postgresql://h/d?user=ada&password=secret&schema=x",
            "postgresql://h/d?user=ada&password=***&schema=x",
        ),
    ],
)
def test_a_state_is_shown_without_its_password(name, said):
    assert shown(name) == said
    assert is_of_server(name) is name.lower().startswith("postgres")
