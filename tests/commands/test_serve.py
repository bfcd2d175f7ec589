"""The command ``serve`` as a process of its own."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit

import anyio
import pytest

from async_backfill._commands.cli import main
from async_backfill._jobs._state.jobs import add_job
from async_backfill.jobs import Jobs
from tests.jobs.state_rows import plan_of
from tests.jobs.working import state_in

pytest.importorskip("uvicorn", reason="the operator's page needs the extra admin")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
COMMAND = (sys.executable, "-m", "async_backfill", "serve")


def has_prometheus():
    return importlib.util.find_spec("prometheus_client") is not None


def test_the_figures_of_jobs_are_told_as_they_are_when_they_are_asked_for(tmp_path):
    prometheus = pytest.importorskip("async_backfill.prometheus", exc_type=ImportError)

    async def ask():
        with state_in(tmp_path) as state:
            told = prometheus.exposition_of(Jobs(state))
            before = (await told()).decode()
            state.now(add_job, plan_of(), by="ada")
            return before, (await told()).decode()

    before, after = anyio.run(ask)
    assert "async_backfill_job_id{" not in before
    assert 'async_backfill_job_id{job_name="products"} 1.0\n' in after


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_served_until_a_signal_even_while_a_page_is_followed(tmp_path, end):
    options = ("--state", str(tmp_path / "jobs.sqlite"), "--port", "0")
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = urlsplit(re.search(r"http://\S+", server.stdout.readline())[0])
            asked, followed = (HTTPConnection(url.hostname, url.port, timeout=60) for _ in range(2))
            asked.request("GET", "/")
            answer = asked.getresponse()
            assert (answer.status, b"There are no jobs yet" in answer.read()) == (200, True)
            if has_prometheus():
                asked.request("GET", "/metrics")
                assert b"async_backfill_jobs_readable 1.0\n" in asked.getresponse().read()
            followed.request("GET", "/events")
            assert followed.getresponse().readline() == b"retry: 2000\n"
        finally:
            server.send_signal(end)
            ended, _ = server.communicate(timeout=60)
            asked.close()
            followed.close()

    assert (server.returncode, ended) == (0, "ended\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "10.0.0.1"), "--host: 10.0.0.1 is reached by others"),
        (("--port", "70000"), "--port: must be 0 to 65535"),
        (("--token-env", "ada=NOT_THERE"), "--token-env: the variable 'NOT_THERE' is not in the environment"),
        (("--token-env", "ada=SHORT"), "--token-env: the token of 'ada' must have at least 16"),
        (("--user-header", "x-user"), "--trusted-proxy: is empty"),
        (("--port", "0", "--job-folder", "/not/there"), "--job-folder: /not/there is not a folder"),
    ],
)
def test_settings_that_cannot_be_are_one_line(tmp_path, capsys, monkeypatch, options, said):
    monkeypatch.setenv("SHORT", "secret")
    state = ("--state", str(tmp_path / "jobs.sqlite"))

    assert main(["serve", *state, *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"error: {re.escape(said)}.*\n", printed.err)
    assert "secret" not in printed.err
