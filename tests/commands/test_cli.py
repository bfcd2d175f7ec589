"""The command line: its output, its settings, and its help."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import sys
from pathlib import Path

import pytest

from async_backfill.__main__ import run
from async_backfill._commands.cli import main
from async_backfill._runner import display
from async_backfill._runner.scenario.model import Settings, SimulatedSpec, StoreSpec, Table
from tests.command_line import ROOT, scenario, work_in


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own that has an older summary in it."""
    work_in(tmp_path, monkeypatch)
    return tmp_path


def settings_in(path: str) -> dict:
    return json.loads(Path(path).read_text("utf-8"))["settings"]


def test_the_table_goes_to_standard_output_and_its_last_line_says_what_was_written(capsys):
    assert main(["--input", "in.json", "--output", "out.json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    table, last = printed.out[:-1].rsplit("\n", 1)
    assert last == "out.json written"
    for figure in ("42.86%", "57.14%"):
        assert figure in table


def test_the_summary_itself_can_be_printed_instead(capsysbinary):
    assert main(["--input", "in.json", "--output", "out.json", "--format", "json"]) == 0
    printed = capsysbinary.readouterr()
    assert printed.out == Path("out.json").read_bytes()
    assert printed.err == b"out.json written\n"


@pytest.mark.parametrize("more", [[], ["--format", "json"]])
def test_quiet_prints_nothing(capsys, more):
    assert main(["--input", "in.json", "--output", "out.json", "--quiet", *more]) == 0
    assert capsys.readouterr() == ("", "")
    assert json.loads(Path("out.json").read_text("utf-8"))["hits"] == 3


def test_quiet_still_complains(capsys):
    assert main(["--input", "missing", "--output", "out.json", "--quiet"]) == 2
    assert capsys.readouterr() == ("", "error: missing: cannot be read: no such file or directory\n")


def test_a_long_replay_shows_no_progress_where_there_is_no_terminal(capsys):
    Path("in.json").write_text(scenario(lookups=["a"] * 20_000), "utf-8")
    assert main(["--input", "in.json", "--output", "out.json"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("options", "shown"), [([], True), (["--quiet"], False)])
def test_a_long_replay_shows_its_progress_on_a_terminal_unless_it_is_to_be_quiet(monkeypatch, options, shown):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(display, "_LONG", 0.0)
    Path("in.json").write_text(scenario(lookups=["a"] * 20_000), "utf-8")
    assert main(["--input", "in.json", "--output", "out.json", *options]) == 0
    assert ("replaying" in terminal.getvalue()) == shown


def test_an_older_summary_is_replaced():
    assert main(["--input", "in.json", "--output", "old.json", "--quiet"]) == 0
    assert Path("old.json").read_bytes() == (ROOT / "data" / "output_summary.json").read_bytes()


def test_every_setting_can_be_given_and_wins_over_the_file():
    given = {
        "miss_threshold": 0.25,
        "backfill_batch": 2,
        "max_backfills": 5,
        "capacity": 9,
        "window": 20,
        "min_lookups": 4,
        "backfill_evicts": True,
        "eviction": "fifo",
        "concurrency": 2,
        "selection": "history",
        "successors": 3,
        "flush_at": 8,
        "lookups_per_second": 5000.5,
        "arrival_seed": 2,
        "ttl": 3.5,
        "ttl_jitter": 0.25,
        "ttl_seed": 4,
        "stale_for": 5.5,
        "absent_ttl": 6.5,
    }
    assert {*given, "capacity_bytes"} == set(Settings.__struct_fields__)  # it needs a trace with sizes
    Path("in.json").write_text(scenario(miss_threshold=0.75, capacity=3, backfill_evicts=False), "utf-8")
    options = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, value in given.items()
    ]
    assert main(["--input", "in.json", "--output", "out.json", "--quiet", *options]) == 0
    assert settings_in("out.json") == given


def test_a_limit_or_a_permission_in_the_file_can_be_taken_back():
    limits = {"max_backfills": 1, "capacity": 3, "lookups_per_second": 9, "ttl": 1, "absent_ttl": 1}
    Path("in.json").write_text(scenario(**limits, backfill_evicts=True), "utf-8")
    options = ["--no-backfill-evicts", *(f"--{name.replace('_', '-')}=none" for name in limits)]
    assert main(["--input", "in.json", "--output", "out.json", "--quiet", *options]) == 0
    changed = {**dict.fromkeys(limits), "backfill_evicts": False}
    assert {name: settings_in("out.json")[name] for name in changed} == changed


FAILING = {"kind": "simulated", "entries": {"a": 1}, "error_rate": 1.0}


def test_a_run_in_which_too_much_failed_exits_with_1_and_writes_nothing(capsys):
    Path("in.json").write_text(json.dumps({"source": FAILING, "lookups": ["a", "b", "a"]}))
    Path("out.json").write_text("OLD")
    assert main(["--input", "in.json", "--output", "out.json", "--journal", "hot"]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(
        "error: 3 of 3 lookups failed, more than --max-failed 0.5 allows; nothing was"
    )
    assert Path("out.json").read_text() == "OLD"
    assert not Path("hot").exists()


def test_failed_lookups_that_are_allowed_are_figures_and_their_causes_are_printed(capsys):
    Path("in.json").write_text(json.dumps({"source": FAILING, "lookups": ["a", "b", "a"]}))
    assert main(["--input", "in.json", "--output", "out.json", "--max-failed", "1"]) == 0

    assert json.loads(Path("out.json").read_text())["failed"] == 3
    assert "failed: 3 times SimulatedError: simulated failure" in capsys.readouterr().out


@pytest.mark.parametrize(("limit", "listed"), [("6", False), ("7", True)])
def test_the_limit_of_listed_results_can_be_set(limit, listed):
    assert main(["--input", "in.json", "--output", "out.json", "--quiet", "--results-limit", limit]) == 0
    assert ("lookup_results" in json.loads(Path("out.json").read_text("utf-8"))) == listed


def test_help_names_every_option_and_every_exit_code(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    names = (
        "input",
        "output",
        "format",
        "quiet",
        "results_limit",
        "virtual_time",
        "max_failed",
        *Settings.__struct_fields__,
    )
    for name in names:
        assert f"--{name.replace('_', '-')} " in printed.out
    assert "--no-backfill-evicts" in printed.out
    for code in ("0 the summary", "1 the run failed", "2 the input", "130 interrupted"):
        assert code in " ".join(printed.out.split())


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
@pytest.mark.parametrize("command", [[], ["history"], ["tune"]])
@pytest.mark.parametrize(("entry", "name"), [(run, "async-backfill"), (main, "python -m async_backfill")])
def test_the_usage_line_names_the_program_as_it_was_started(capsys, monkeypatch, command, entry, name):
    monkeypatch.setattr(sys, "argv", ["program", *command, "--help"])
    with contextlib.suppress(SystemExit):
        entry()

    assert capsys.readouterr().out.startswith(f"Usage: {' '.join([name, *command])} ")


def test_ctrl_c_while_the_program_starts_is_one_line(capsys, monkeypatch):
    class Interrupted:
        def find_spec(self, name, *_):
            if name == "async_backfill._commands.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "async_backfill._commands.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        run()
    assert (ended.value.code, capsys.readouterr().err) == (130, "error: interrupted, nothing was written\n")


def test_the_help_names_both_ways_to_start_the_program(capsys):
    main(["--help"])
    assert "async-backfill is the same program as python -m async_backfill" in capsys.readouterr().out


def test_the_scenario_in_the_help_is_complete(capsys):
    main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    (example,) = [line for line in lines if line.strip().startswith('{"source"')]
    Path("in.json").write_text(example, "utf-8")
    assert main(["--input", "in.json", "--output", "out.json", "--quiet"]) == 0


def test_the_version_is_that_of_the_installed_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == importlib.metadata.version("async-backfill") + "\n"


def test_what_a_terminal_would_obey_is_escaped_in_the_summary_and_comes_back(capsysbinary):
    keys = ["\x1b[2J", "\x7f", "\x9b2J", "\u202eabc", "\u2066", "\u2028", "\ufeff", "\U000e0041", "ä☃"]
    Path("in.json").write_text(scenario(lookups=keys), "utf-8")
    assert main(["--input", "in.json", "--output", "new.json", "--format", "json"]) == 0
    printed = capsysbinary.readouterr().out
    assert printed == Path("new.json").read_bytes()
    assert all(letter.isprintable() or letter == "\n" for letter in printed.decode())
    assert [result["key"] for result in json.loads(printed)["lookup_results"]] == keys
    assert "ä☃" in printed.decode()


def test_the_help_begins_with_the_main_job(capsys):
    main(["--help"])
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "Usage: python -m async_backfill --input SCENARIO --output SUMMARY [OPTIONS]"


def test_the_help_names_every_field_of_a_source_a_store_and_the_figures(capsys):
    main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    fields = {*Table.__struct_fields__, *SimulatedSpec.__struct_fields__, *StoreSpec.__struct_fields__}
    for name in fields:
        assert f'"{name}"' in printed
    for figure in ("hit (", "miss", "absent", "failed", "skipped", "denied", "eviction", "Source calls"):
        assert figure in printed
    for words in ("left out, the value is an object", "is read into memory", "stays on disk"):
        assert words in printed
