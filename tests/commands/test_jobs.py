"""Jobs from the command line: a whole job, what each verb prints, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.operating import PROGRAM, change, job_file

pytestmark = pytest.mark.usefixtures("folder")


def too_large(jobs, key):
    """Run a job that meets a row which is too large for the store; return its number."""
    job = jobs.approved(store={"kind": "sqlite", "max_value_bytes": 200})
    change("shop.db", "UPDATE products SET name = ? WHERE id = ?", "x" * 500, key)
    assert jobs("run", job)[0] == 1
    return job


def test_a_whole_job_is_planned_approved_run_and_verified_with_what_is_printed(jobs):
    code, out, err = jobs("plan", job_file())
    assert (code, err) == (0, "")
    assert jobs.type(out.splitlines()[-1])[0] == 0
    code, out, err = jobs("run", "1")
    assert (code, err) == (0, "")
    assert out.startswith("job 1 products: done\n")
    assert "300 of 300 (100%)" in out
    assert "300 rows compared, all: 0 differences" in jobs.said("verify", "1", "--all", "--extra")
    assert "job 1 products: done" in jobs.said("status", "1")


def test_a_plan_says_what_will_be_done_what_it_costs_and_writes_nothing_else(jobs):
    code, out, _ = jobs("plan", job_file(rate=100))
    assert code == 0
    assert jobs("status", "1")[1] == out  # for whoever is to approve it
    for said in (
        *("source sql sqlite:///", "shop.db products", "store sqlite ", "cache.db", "rows 300 (counted)"),
        *("a row by a sample", "of 1.0 GB", "shards 3", "0:00:03 at 100 rows a second", "0% of the keys"),
        f"hash {jobs.data('status', '1')['plan_hash']}",
    ):
        assert said in " ".join(out.split())
    assert all(len(line) < 80 for line in out.splitlines()[:-1] if "/" not in line)
    assert jobs.data("status", "1")["counts"]["read"] == 0
    assert jobs.data("dry-run", "1")["present"] == 0


def test_a_run_that_nobody_approved_is_refused_with_the_command_that_approves_it(jobs):
    jobs.planned()
    told = jobs.refused("run", "1")
    assert "nobody approved its plan" in told
    assert jobs.type(told.split("approve it with: ")[1])[0] == 0
    jobs.said("run", "1")


def test_the_commands_that_are_printed_name_another_state(jobs):
    _, out, _ = jobs("plan", job_file(), "--state", "other jobs.sqlite")
    assert jobs.type(out.splitlines()[-1])[0] == 0
    jobs.said("run", "1", "--state", "other jobs.sqlite")
    assert "there is no such state" in jobs.refused("ls")


def test_the_state_may_be_named_by_the_environment(jobs, monkeypatch):
    monkeypatch.setenv("ASYNC_BACKFILL_STATE", "named.sqlite")
    _, out, _ = jobs("plan", job_file())
    assert "--state" not in out
    jobs.said("ls")
    monkeypatch.delenv("ASYNC_BACKFILL_STATE")
    jobs.said("ls", "--state", "named.sqlite")


def test_a_status_for_programs_has_all_that_a_page_shows(jobs):
    job = jobs.done()
    status = jobs.data("status", job)
    assert {
        *("status", "plan", "counts", "rows_total", "pages", "repeated_pages", "rows_per_second"),
        *("eta_seconds", "throttled", "shards", "workers", "estimate", "reason", "settings"),
    } <= set(status)
    assert status["counts"] == {"read": 300, "kept": 300, "newer": 0, "leased": 0, "rejected": 0, "dead": 0}
    assert (status["status"], status["rows_total"], status["plan"]["cuts"]) == ("done", 300, 2)
    assert [shard["status"] for shard in status["shards"]] == ["done"] * 3


def test_a_job_that_waits_says_why_since_when_and_with_what_value(jobs):
    job = jobs.approved()
    jobs.said("resume", job)
    waits = {"reason": "replica lag", "since": 0.0, "value": "2.1 s\x1b[2J", "limit": "1 s"}
    change(
        "jobs.sqlite",
        "UPDATE shard SET status = 'running', owner = 'a:1', leased_until = 1e12, throttled = ?"
        " WHERE number = 0",
        json.dumps(waits),
    )
    assert jobs.data("status", job)["throttled"] == waits
    _, out, _ = jobs("status", job)
    assert "\\x1b[2J" in out
    assert "replica lag: 2.1 s" in out
    assert "since" in out


def test_each_verb_prints_one_object_for_programs(jobs):
    job, plan = jobs.planned()
    dry = jobs.data("dry-run", job, "--rows", "100")
    assert dry["rows"] >= 100
    given = jobs.data("approve", job, "--plan", plan, "--reason", "x", "--rows", "400", "--for", "90m")
    assert (given["max_rows"], given["plan_hash"]) == (400, plan)
    assert jobs.data("revoke", job)["status"] == "planned"
    jobs.data("approve", job, "--plan", plan, "--reason", "again")
    assert jobs.data("resume", job)["status"] == "interrupted"
    assert jobs.data("set", job, "rate=5000", "batch=200", "lanes=1")["settings"] == {
        "rate": 5000.0,
        "batch": 200,
        "lanes": 1,
        "pages": None,
    }
    assert jobs.data("pause", job, "--reason", "lunch")["status"] == "paused"
    jobs.data("resume", job)
    assert jobs.data("panic") == {"jobs": [int(job)]}
    jobs.data("resume", job)
    assert jobs.data("work", job)["status"] == "done"
    assert jobs.data("work") == {"worked_on": 0}
    assert jobs.data("verify", job, "--sample", "0.5")["left"] == 0
    assert jobs.data("dead", job) == {"job": int(job), "dead": []}
    assert jobs.data("dead", job, "--retry")["written"] == 0
    assert [line["what"] for line in jobs.data("log", job)["lines"]][:2] == ["planned", "approved"]
    assert jobs.data("log", job, "--verify")["first_bad_line"] is None
    assert [each["id"] for each in jobs.data("ls")["jobs"]] == [int(job)]
    other, _ = jobs.planned(name="other.json", store={"kind": "sqlite", "file": "other.db"})
    assert jobs.data("cancel", other)["status"] == "cancelled"


def test_each_verb_says_in_words_what_it_did(jobs):
    job, plan = jobs.planned()
    assert "dry run, nothing was written" in jobs.said("dry-run", job)
    said = jobs.said("approve", job, "--plan", plan, "--reason", "x", "--by", "bob", "--rows", "400")
    assert f"job {job} is approved by bob: 400 rows until 20" in said
    assert f"nobody works on it, go on with: {PROGRAM}jobs run {job}" in jobs.said("resume", job)
    assert "rate=5000 batch=auto lanes=2" in jobs.said("set", job, "rate=5000")
    assert "rate=none" in jobs.said("set", job, "rate=none", "batch=auto")
    assert "why lunch" in jobs.said("pause", job, "--reason", "lunch")
    jobs.said("resume", job)
    assert jobs.said("panic", "--by", "eve") == f"jobs that were asked to pause: {job}"
    assert jobs.said("panic") == "no job runs: nothing was to be paused"
    jobs.said("run", job)
    assert jobs.said("work") == "worked on 0 jobs"
    assert jobs.said("ls") == f"{job} products done 300 of 300 (100%) rows"
    log = jobs.said("log", job)
    assert "bob approved" in log
    assert "eve wanted reason" not in log
    assert "the log of job 1 is whole: " in jobs.said("log", job, "--verify")


def test_what_is_not_given_is_the_login_name(jobs, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "grace")
    jobs.planned()
    assert [line["by"] for line in jobs.data("log", "1")["lines"]] == ["grace"]


def test_without_a_login_name_the_option_is_asked_for(jobs, monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert jobs.refused("plan", job_file()) == "error: --by: there is no login name here: say who you are"
    jobs.said("plan", job_file(), "--by", "ada")
    jobs.said("status", "1")


def test_differences_are_exit_code_1_until_they_are_repaired(jobs):
    job = jobs.done()
    change("shop.db", "UPDATE products SET price = 7 WHERE id = 'k00100'")
    found = jobs.data("verify", job, "--all", code=1)
    assert (found["wrong"], found["left"], found["status"]) == (1, 1, "done_with_gaps")
    assert found["findings"] == [{"key": "'k00100'", "kind": "wrong"}]
    assert "1 differences, 1 of them repaired" in jobs.said("verify", job, "--all", "--repair")
    assert jobs.data("verify", job, "--all")["status"] == "done"


LONG = "https://shop.example/" + "x" * 300


def test_differences_whose_long_keys_begin_alike_are_all_listed(jobs):
    change("shop.db", "UPDATE products SET id = ? || id", LONG)
    job = jobs.done()
    change("shop.db", "UPDATE products SET price = -1")
    found = jobs.data("verify", job, "--all", code=1)
    assert (found["wrong"], len(found["findings"])) == (300, 300)
    assert "and 280 others" in jobs.said("verify", job, "--all", code=1)


def test_rows_of_a_dry_run_whose_long_keys_begin_alike_are_all_listed(jobs):
    job, _ = jobs.planned(store={"kind": "sqlite", "max_value_bytes": 200})
    long = "UPDATE products SET id = ? || id, name = ? WHERE id IN ('k00001', 'k00002')"
    change("shop.db", long, LONG, "y" * 500)
    found = jobs.data("dry-run", job)
    assert (found["rejected"], [sorted(bad) for bad in found["bad"]]) == (2, [["error", "key"]] * 2)
    assert jobs.said("dry-run", job).count("the store cannot keep it") == 2


def test_dead_rows_are_exit_code_1_until_all_are_written(jobs):
    job = too_large(jobs, "k00000")
    assert jobs.said("dead", job).startswith("1 dead rows 'k00000': the value cannot be encoded")
    code, out, _ = jobs("dead", job, "--retry", "--json")
    left = json.loads(out)
    assert (code, left["written"], [row["key"] for row in left["dead"]]) == (1, 0, ["'k00000'"])
    change("shop.db", "UPDATE products SET name = 'right' WHERE id = 'k00000'")
    assert jobs.said("dead", job, "--retry") == "1 are dead no more 0 dead rows"
    assert jobs.data("status", job)["counts"]["dead"] == 0


def test_a_hostile_key_does_not_write_to_the_terminal(jobs):
    key = "k\x1b[2J\x9b2J\u202eabc\r\n" + "x" * 500
    change("shop.db", "UPDATE products SET id = ? WHERE id = 'k00000'", key)
    job = too_large(jobs, key)
    for words in (("dead", job), ("dead", job, "--json"), ("log", job, "--by", "\x1b[2J")):
        code, out, _ = jobs(*words)
        assert code == 0
        assert all(letter.isprintable() or letter == "\n" for letter in out)
    _, out, _ = jobs("dead", job)
    assert "x" * 201 not in out
    assert out.count("\n") == 2


def test_a_line_of_the_log_that_was_changed_is_named(jobs):
    job = jobs.approved()
    change("jobs.sqlite", "UPDATE log SET by = 'eve' WHERE number = 2")
    assert "line 2 was changed, removed or cut off" in jobs.said("log", job, "--verify", code=1)
    assert jobs.data("log", job, "--verify", code=1)["first_bad_line"] == 2


def test_the_log_leaves_out_counts_of_0_but_not_the_shard_of_that_number(jobs):
    job = jobs.approved()
    facts = json.dumps({"shard": 0, "missing": 0, "error": "slow"})
    change("jobs.sqlite", "UPDATE log SET what = 'shard failed', facts = ? WHERE number = 1", facts)
    assert "shard failed shard 0, error slow 2" in " ".join(jobs.said("log", job).split())


def test_a_job_with_a_row_that_the_store_cannot_keep_ends_with_1(jobs):
    job = too_large(jobs, "k00007")
    assert "done with gaps why 1 dead rows (see dead)" in jobs.said("status", job)


def test_a_job_whose_store_was_emptied_ends_with_3_until_it_runs_from_the_start(jobs):
    job = jobs.approved()
    change("jobs.sqlite", "UPDATE shard SET pages = 1, cursor = low WHERE number = 1")
    code, out, _ = jobs("run", job)
    assert code == 3
    assert "the store lost its memory" in " ".join(out.split())
    assert "300 kept" in jobs.said("run", job, "--from-start")


def test_a_source_that_does_not_answer_is_a_failure_in_one_line(jobs):
    job = jobs.approved()
    Path("shop.db").write_text("no database" * 1000)
    assert "file is not a database" in jobs.refused("run", job, code=3)
