"""The help of ``jobs``: its verbs, and their options."""

from __future__ import annotations

import pytest

from async_backfill._commands.cli import main
from async_backfill._commands.jobs.app import jobs_app

VERBS = (
    *("plan", "dry-run", "approve", "run", "work", "status", "ls", "pause", "resume", "cancel", "set"),
    *("verify", "dead", "log", "revoke", "panic"),
)


def test_the_help_names_the_verbs_in_one_line_each(capsys):
    assert main(["jobs", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line[2:].split()[0] for line in lines if line.startswith("│ ") and not line.startswith("│  ")]
    assert tuple(named) == VERBS
    assert not [line for line in lines if line.startswith("│  ")]
    main(["--help"])
    assert "jobs " in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_names_its_options(capsys, verb):
    assert main(["jobs", verb, "--help"]) == 0
    printed = capsys.readouterr().out
    for option in ("--state", "--by", "--json", "ASYNC_BACKFILL_STATE"):
        assert option in printed
    assert set(jobs_app()) >= set(VERBS)
