"""The chaos run: its verdict on logs, and a few seconds of it with a fleet before real servers."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
pytest.importorskip("sqlalchemy", reason="needs the extra sql")

from tests.chaos.fleet import Fleet
from tests.chaos.verdict import ELSEWHERE, Fault, judge
from tests.servers.valkey import start_valkey

WRITE = {"what": "write", "began": 1.0, "committed": 1.1, "ended": 1.2, "key": 7, "version": 2}


def read(began, version, *, ended=None):
    found = [[7, version]]
    return {"what": "read", "began": began, "ended": began + 0.1 if ended is None else ended, "found": found}


@pytest.fixture
def verdict(tmp_path):
    """Judge the records of each process, given as lists."""

    def judged(*processes, faults=()):
        logs = []
        for number, records in enumerate(processes):
            logs.append(tmp_path / f"process-{number}.jsonl")
            logs[-1].write_text("".join(f"{json.dumps(record)}\n" for record in records))
        return judge(logs, list(faults))

    return judged


def test_a_process_that_reads_what_it_has_invalidated_has_a_wrong_value(verdict):
    assert len(verdict([WRITE, read(1.3, 1)]).wrong) == 1
    assert verdict([WRITE, read(1.15, 1), read(1.3, 2)]).wrong == []


def test_another_process_may_read_the_old_version_for_its_time_and_no_longer(verdict):
    assert verdict([WRITE], [read(1.0 + ELSEWHERE, 1)]).wrong == []
    assert len(verdict([WRITE], [read(1.2 + ELSEWHERE, 1)]).wrong) == 1


def test_a_slow_read_needs_a_fault_beside_it(verdict):
    fault = Fault("kill valkey", 4.0, 5.0)

    assert len(verdict([WRITE, read(2.0, 2, ended=5.5)]).unexplained) == 1
    assert verdict([WRITE, read(2.0, 2, ended=5.5)], faults=[fault]).unexplained == []
    assert verdict([WRITE, read(2.0, 2, ended=4.5)]).unexplained == []


def test_a_caller_that_hung_is_told(verdict):
    hung = {"what": "hung", "began": 1.0, "ended": 21.0, "keys": [7]}

    assert len(verdict([WRITE, read(1.3, 2), hung]).hung) == 1


def test_without_reads_or_writes_nothing_is_proven(verdict):
    assert not verdict([WRITE]).is_clean
    assert verdict([WRITE, read(1.3, 2)]).is_clean


def test_a_few_seconds_of_chaos_bring_no_wrong_value_and_no_hung_caller(postgres_url, tmp_path):
    # How long a read takes is left to `python -m tests.chaos`: here the machine may be busy.
    with start_valkey(tmp_path / "valkey") as valkey:
        fleet = Fleet(postgres_url, valkey, tmp_path, random.randrange(10**6))
        found, faults = asyncio.run(fleet.run(3.0))

    assert faults
    assert found.reads
    assert (found.wrong, found.hung) == ([], [])
