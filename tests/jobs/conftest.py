"""A state of jobs that takes no time, and one of each kind."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.jobs.state_rows import ServerState, State, schema_at
from tests.jobs.working import state_in


@pytest.fixture
def state(tmp_path):
    """A state in a file, in the thread of the event loop and by its clock."""
    with state_in(tmp_path) as state:
        yield state


@pytest.fixture(scope="session")
def served(postgres_url):
    """A state in PostgreSQL."""
    with schema_at(postgres_url) as url, closing(ServerState(url).file) as file:
        yield file._state


@pytest.fixture(params=["sqlite", "postgresql"])
def each_state(request, tmp_path):
    """An empty state of each kind, whose clock is moved by hand."""
    if request.param == "postgresql":
        state = request.getfixturevalue("served")
        state.empty()
        yield state
        return
    made = State(tmp_path / "jobs.sqlite")
    with closing(made.file):
        yield made
