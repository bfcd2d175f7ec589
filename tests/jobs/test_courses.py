"""Whatever happens to a job, it ends with all rows right, or says that it did not."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.jobs.courses import WHAT, Course, Step, draw, run_course

pytestmark = pytest.mark.anyio


@st.composite
def courses(draws):
    rows = draws(st.sampled_from([0, 1, 7, 40]))
    after = st.sampled_from([0.0, 0.01, 0.06, 0.3, 2.0])
    step = st.builds(Step, after, st.sampled_from(WHAT), st.integers(0, 999))
    return Course(
        rows=rows,
        cuts=draws(st.sampled_from([0, 1, 4])) if rows > 4 else 0,
        lanes=draws(st.integers(1, 3)),
        batch=draws(st.sampled_from([1, 3, 10])),
        policy=draws(st.sampled_from(["missing", "stale", "all"])),
        poisoned=frozenset(draws(st.sets(st.integers(0, rows - 1), max_size=1)) if rows else ()),
        steps=tuple(draws(st.lists(step, max_size=12))),
    )


@given(course=courses())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_course_of_a_job_ends_right(course, tmp_path_factory):
    await run_course(course, tmp_path_factory.mktemp("course"))


@pytest.mark.parametrize("seed", [33, 54, 104, 325, 586, 933, 5210, 5228])
async def test_a_course_of_before_ends_right(seed, tmp_path):
    await run_course(draw(seed), tmp_path)
