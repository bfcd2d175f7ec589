"""A state of jobs that takes no time."""

from __future__ import annotations

import pytest

from tests.jobs.working import state_in


@pytest.fixture
def state(tmp_path):
    """A state in a file, in the thread of the event loop and by its clock."""
    with state_in(tmp_path) as state:
        yield state
