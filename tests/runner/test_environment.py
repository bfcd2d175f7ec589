"""Secrets come from the environment, into URLs, and nowhere else."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill._runner.scenario.environment import expand_url


def test_a_variable_stands_where_its_name_stood():
    url = expand_url("postgresql://app:${PGPASSWORD}@db:5432/shop", {"PGPASSWORD": "secret"})

    assert url == "postgresql://app:secret@db:5432/shop"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_password_may_be_any_text(password):
    url = expand_url("redis://:${P}@cache:6379/0", {"P": password})

    assert unquote(urlsplit(url).password or "") == password
    assert urlsplit(url).hostname == "cache"


def test_a_url_without_variables_is_left_as_it_is():
    assert expand_url("http://host/items/{key}?a=$1", {}) == "http://host/items/{key}?a=$1"


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(ConfigurationError, match="the environment variable PGPASSWORD is not set"):
        expand_url("postgresql://app:${PGPASSWORD}@db/shop", {})


@pytest.mark.parametrize("name", ["", "A-B", "1", "A:-default", "$"])
def test_what_is_no_name_of_a_variable_is_refused(name):
    with pytest.raises(ConfigurationError, match="the name of an environment variable"):
        expand_url(f"redis://{'$'}{{{name}}}@host", {name: "value"})


@pytest.mark.parametrize("user_info", [":hunter2", "app:hunter2", "app:hunter2${P}"])
def test_a_password_in_the_file_itself_is_refused_and_not_shown(user_info):
    with pytest.raises(ConfigurationError, match="holds a password") as refused:
        expand_url(f"redis://{user_info}@host", {"P": "secret"})

    assert "hunter2" not in str(refused.value)
    assert "secret" not in str(refused.value)
