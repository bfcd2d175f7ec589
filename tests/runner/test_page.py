"""The page of a replay: what it shows, what it needs, and how it looks in a real browser."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from tests.command_line import names_here, work_in
from tests.runner.browser import browser, looked_at

HOSTILE = "</title><script>alert(1)</script><img src=//evil.example/x onerror=alert(1)>\u202e\x1b[31m"
LOOKUPS = [*"abcabdaxefgh" * 30, HOSTILE]


class Structure(HTMLParser):
    """The tags, attributes and cells of a page; a tag that is not closed is an error."""

    VOID = frozenset({"meta", "path", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data
        if self.open[-1:] in (["h1"], ["h2"]):
            self.headings.append(data)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own with a scenario in it that has all there is to show."""
    work_in(tmp_path, monkeypatch)
    scenario = {
        "source": dict.fromkeys("abcdefgh", 1),
        "lookups": LOOKUPS,
        "capacity": 4,
        "successors": 2,
        "flush_at": 100,
        "miss_threshold": 0.3,
        "backfill_batch": 3,
    }
    Path("all.json").write_text(json.dumps(scenario), "utf-8")
    return tmp_path


def page_of(scenario: str, *options: str) -> str:
    assert main(["--input", scenario, "--output", "out.json", "--report", "out.html", *options]) == 0
    return Path("out.html").read_text("utf-8")


def summary() -> dict:
    return json.loads(Path("out.json").read_text("utf-8"))


def test_a_page_has_the_figures_of_the_summary(capsys):
    page = Structure(page_of("all.json"))
    told = summary()

    assert page.headings == [
        "Replay of all.json",
        "Over time",
        "Misses by cause",
        "Backfills",
        "The cost at the source",
        "Settings",
    ]
    rows = {row[0]: row[1:] for row in page.rows}
    causes = [int(row[1]) for row in page.rows if row[0].startswith(("cold:", "evicted:", "absent:"))]
    assert sum(causes) == told["misses"]
    assert int(rows["all"][0]) == told["source_calls"]
    assert int(rows["all"][-1]) == told["source_keys"]
    assert int(rows["misses"][-1]) + int(rows["backfills"][-1]) == told["source_keys"]
    assert [row[0] for row in page.rows[-len(told["settings"]) :]] == list(told["settings"])
    assert rows["capacity"] == ["4", "none"]
    assert page.tags.count("svg") == 3
    assert capsys.readouterr().out.endswith("out.json and out.html written\n")


def test_the_summary_is_the_same_with_a_page_and_without():
    page_of("all.json")
    assert main(["--input", "all.json", "--output", "bare.json", "--quiet"]) == 0
    assert Path("out.json").read_bytes() == Path("bare.json").read_bytes()


def test_the_same_replay_gives_the_same_page():
    assert page_of("all.json") == page_of("all.json")


def test_a_page_needs_no_network_no_script_and_no_other_file():
    page = Structure(page_of("all.json"))
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a"} & set(page.tags)
    assert not {"src", "href", "srcset", "xlink:href", "action", "style"} & {
        name for name, _ in page.attributes
    }
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert "url(" not in Path("out.html").read_text("utf-8")
    assert "@import" not in Path("out.html").read_text("utf-8")


def test_what_users_wrote_is_text_in_a_page_and_nothing_else():
    name = "<b>&'\".json"
    Path("all.json").rename(name)
    page = page_of(name)
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    structure = Structure(page)
    assert structure.headings[0] == f"Replay of {name}"
    keys = [row[0] for row in structure.rows]
    assert HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b") in keys


def test_errors_of_a_source_are_text_in_a_page():
    failing = {"kind": "simulated", "keys": 3, "error_rate": 1.0}
    Path("failing.json").write_text(json.dumps({"source": failing, "lookups": ["key_1", "<i>"]}))
    page = Structure(page_of("failing.json", "--max-failed", "1"))
    assert [row[1] for row in page.rows if row[0].startswith("failed: the source")] == ["2"]


@pytest.mark.parametrize("lookups", [[], ["a"], [1]])
def test_a_replay_of_hardly_anything_has_a_page(lookups):
    if lookups == [1]:
        Path("rows.csv").write_text("id,v\n1,2\n")
        source = {"kind": "table", "file": "rows.csv", "key": "id", "key_type": "int"}
    else:
        source = {}
    Path("few.json").write_text(json.dumps({"source": source, "lookups": lookups, "flush_at": 5}))
    Structure(page_of("few.json"))


def test_of_many_backfills_a_page_has_the_first_and_the_last_ones():
    scenario = {
        "source": {str(number): 1 for number in range(100)},
        "lookups": [str(number) for number in range(99, -1, -1)],
        "miss_threshold": 0.01,
        "min_lookups": 1,
        "backfill_batch": 1,
    }
    Path("many.json").write_text(json.dumps(scenario))
    page = Structure(page_of("many.json"))
    assert summary()["backfills"] == 50
    (between,) = [row for row in page.rows if row[0] == "10 more"]
    assert between[2] == "10"
    assert len([row for row in page.rows if len(row) == 6]) == 1 + 41


def test_a_page_of_virtual_time_counts_in_seconds():
    scenario = {
        "source": {"kind": "simulated", "keys": 50, "latency": 0.5},
        "lookups": {"kind": "zipf", "count": 500, "keys": 50},
        "lookups_per_second": 10,
        "ttl": 4,
        "stale_for": 4,
        "concurrency": 8,
    }
    Path("timed.json").write_text(json.dumps(scenario))
    page = page_of("timed.json", "--virtual-time")
    assert f"<span>{summary()['virtual_seconds']:.1f} s</span>" in page
    assert "expired: older than its ttl" in page
    assert page_of("timed.json", "--virtual-time") == page


def test_a_run_that_fails_leaves_the_older_page():
    failing = {"kind": "simulated", "keys": 3, "error_rate": 1.0}
    Path("failing.json").write_text(json.dumps({"source": failing, "lookups": ["key_1"]}))
    Path("out.html").write_text("OLD")
    assert main(["--input", "failing.json", "--output", "out.json", "--report", "out.html"]) == 1
    assert Path("out.html").read_text() == "OLD"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report", "./old.json"], "./old.json: is also the file of --output"),
        (["--report", "in.json"], "in.json: would overwrite in.json, which this run reads"),
        (["--report", "missing/out.html"], "does not exist"),
        (["--report=-"], "--report: cannot be printed, expected the path of a file"),
        (["--report", "p.html", "--journal", "p.html"], "p.html: is also the file of --report"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_the_replay(capsys, options, message):
    before = names_here()
    assert main(["--input", "in.json", "--output", "old.json", *options]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.endswith(f"{message}\n")
    assert names_here() == before


def test_without_its_library_a_page_is_refused_with_the_command_that_installs_it(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "async_backfill._runner.replay.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["--input", "in.json", "--output", "out.json", "--report", "out.html"]) == 2
    assert capsys.readouterr().err == "error: --report: needs jinja2: pip install 'async-backfill[report]'\n"


@pytest.mark.skipif(browser() is None, reason="NO BROWSER: name one in TEST_BROWSER")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_a_page_that_can_be_read_wide_and_narrow(tmp_path, scheme):
    page = page_of("all.json")
    for seen in looked_at(browser(), page, tmp_path, scheme=scheme, widths=[1000, 400]):
        assert seen["overflow"] <= 0  # nothing is cut off at the right
        assert seen["scrolled"] == 0
        assert seen["smallest"] >= 12
        assert seen["contrast"] >= 4.5  # what the Web Content Accessibility Guidelines ask for
        assert seen["page"] < 0.05 if scheme == "dark" else seen["page"] > 0.9
        assert len(seen["charts"]) == 3
        assert all(width > 250 and height > 100 for width, height in seen["charts"])
        assert all(length > 100 for length in seen["drawn"])
        assert "Misses by cause" in seen["text"]
        assert "alert(1)" in seen["text"]
