"""Jobs in a state that takes no time, and a browser on their page."""

from __future__ import annotations

import looptime
import pytest

from async_backfill import MissingExtraError
from async_backfill.jobs import Jobs
from tests.admin.browser import Browser
from tests.jobs.working import state_in

try:
    from async_backfill.admin import Access, Application
except MissingExtraError:
    collect_ignore_glob = ["test_*.py"]  # all of them need it


@pytest.fixture
def anyio_backend():
    """One backend in virtual time; what waits is tested on each, in test_live."""
    return "asyncio", {"loop_factory": lambda: looptime.new_event_loop(start=0.0, end=None, noop_cycles=0)}


@pytest.fixture
def state(tmp_path):
    """A state in a file, in the thread of the event loop and by its clock."""
    with state_in(tmp_path) as state:
        yield state


@pytest.fixture
def jobs(state):
    return Jobs(state)


@pytest.fixture
def browser(jobs):
    """A browser on this machine, whose user is ada."""
    return browser_on(Application(jobs=jobs, access=Access(local_user="ada")))


def browser_on(app):
    """A browser on a page whose looks cost nothing, whatever this machine needs for them."""
    app._desk.looks._processor = lambda: 0.0
    return Browser(app)
