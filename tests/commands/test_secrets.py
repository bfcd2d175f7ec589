"""What a scenario takes from the environment is written and printed nowhere, whatever part of a URL it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from tests.command_line import ROOT, work_in

HARD = "t0k/n Of~The@Vau1t"
PLAIN = "t0knofthevau1t"  # one that may be a host

SERVICES = [
    "http://127.0.0.1:1/v1/${API_TOKEN}/{key}",
    "http://127.0.0.1:1/${API_TOKEN}",
    "http://127.0.0.1:1/{key}?token=${API_TOKEN}",
    "http://${API_TOKEN}@127.0.0.1:1/{key}",
    "http://127.0.0.1:${API_TOKEN}/{key}",
    "${API_TOKEN}://127.0.0.1/{key}",
]
DATABASES = [
    "sqlite:///${API_TOKEN}.db",
    "sqlite:////no/such/folder/${API_TOKEN}.db",
    "${API_TOKEN}://app@db/shop",
    "postgresql://${API_TOKEN}@127.0.0.1:1/shop",
    "postgresql://127.0.0.1:${API_TOKEN}/shop",
    "postgresql://127.0.0.1:1/shop?${API_TOKEN}=1",
]
STORES = [
    "redis://127.0.0.1:1/${API_TOKEN}",
    "redis://127.0.0.1:${API_TOKEN}",
    "redis://:${API_TOKEN}@127.0.0.1:1",
    "unix:///${API_TOKEN}",
    "${API_TOKEN}://127.0.0.1:1",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    work_in(tmp_path, monkeypatch)
    return tmp_path


def with_source(url: str) -> dict[str, object]:
    if url.startswith("http:") or url in SERVICES:
        return {"source": {"kind": "http", "url": url}, "lookups": ["a"]}
    return {"source": {"kind": "sql", "url": url, "table": "t", "key": "k", "value": "v"}, "lookups": ["a"]}


def with_store(url: str) -> dict[str, object]:
    return {"source": {"a": 1}, "store": {"kind": "redis", "url": url, "leases": True}, "lookups": ["a"]}


def shows(text: str, secret: str) -> bool:
    parts = [secret, secret[:8], "vau1t", "Vau1t"]
    return any(part in text for part in parts)


@pytest.mark.parametrize(
    ("document", "secret"),
    [
        *[(with_source(url), HARD) for url in (*SERVICES, *DATABASES)],
        *[(with_store(url), HARD) for url in STORES],
        (with_source("http://${API_TOKEN}/{key}"), PLAIN),
        (with_source("postgresql://app@${API_TOKEN}/shop"), PLAIN),
        (with_store("redis://${API_TOKEN}:1"), PLAIN),
    ],
    ids=str,
)
@pytest.mark.parametrize("more", [(), ("--virtual-time",)], ids=" ".join)
def test_no_value_of_the_environment_is_written_or_printed(capsys, monkeypatch, document, secret, more):
    monkeypatch.setenv("API_TOKEN", secret)
    Path("in.json").write_text(json.dumps(document), "utf-8")
    arguments = ["--input", "in.json", "--output", "new.json", "--journal", "hot.journal"]
    main([*arguments, "--max-failed", "1", *more])
    printed = capsys.readouterr()
    written = [path.read_text("utf-8") for path in map(Path, ("new.json", "hot.journal")) if path.exists()]
    assert not shows("".join([printed.out, printed.err, *written]), secret)


def test_a_warning_of_the_library_is_one_line_that_hides_it_as_well(folder):
    document = with_store("redis://${API_TOKEN}:1")
    document["store"]["timeout"] = 60.0  # of a slow machine, which must not time out before it is refused
    Path("in.json").write_text(json.dumps(document), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "async_backfill", "--input", "in.json", "--output", "new.json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "API_TOKEN": PLAIN},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.startswith("warning: the far tier failed, reads go on without it: ")
    assert "${API_TOKEN}" in done.stderr
    assert not shows(done.stderr, PLAIN)
    assert all(line.startswith(("warning: ", "error: ")) for line in done.stderr.splitlines())
