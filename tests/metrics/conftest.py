"""What all tests of metrics need: none of them runs where a library of the extras is missing."""

from __future__ import annotations

import pytest

from tests.jobs.working import state_in

try:
    import opentelemetry.sdk.metrics  # noqa: F401
    import promql_parser  # noqa: F401
    from prometheus_client import CollectorRegistry
except ModuleNotFoundError:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def registry():
    """A registry of its own, so that no test meets the metrics of another one."""
    return CollectorRegistry()


@pytest.fixture
def state(tmp_path):
    """A state of jobs in a file, in the thread of the event loop and by its clock."""
    with state_in(tmp_path) as state:
        yield state
