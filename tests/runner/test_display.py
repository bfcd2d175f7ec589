from __future__ import annotations

import io

import pytest
from rich.progress import Task, TaskID

from async_backfill import BackfillCache, MappingSource
from async_backfill._runner.display import ProgressBar, _Rate, print_table
from async_backfill._runner.replay.summary import summarize
from async_backfill._runner.scenario.model import Settings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def shown_on(stream: io.StringIO | None, *, seconds: float, total: int = 20_000, **kind: object) -> None:
    now = [0.0]
    with ProgressBar(stream, clock=lambda: now[0], **kind) as bar:
        for done in range(0, 20_001, 10_000):
            bar.show(done, total)
            now[0] += seconds / 2


def figures(**changed: object) -> dict:
    stats = BackfillCache(MappingSource({})).stats
    return {**summarize(stats, (), Settings(), results=None), **changed}


def test_what_takes_longer_than_a_second_shows_its_progress_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    shown_on(terminal, seconds=2.0)
    assert "replaying" in terminal.getvalue()
    assert "20000/20000" in terminal.getvalue()


def test_what_takes_less_shows_none():
    terminal = Terminal()
    shown_on(terminal, seconds=0.9)
    assert terminal.getvalue() == ""


def test_progress_without_a_known_total_is_counted(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    shown_on(terminal, seconds=2.0, total=0, doing="reading", in_bytes=True)
    assert "20.0/? kB" in terminal.getvalue()


def test_progress_says_the_rate():
    task = Task(TaskID(1), "x", 1000, 0, _get_time=lambda: 0.0)
    assert str(_Rate().render(task)) == ""
    task.finished_speed = 1234.5
    assert str(_Rate().render(task)) == "1,234/s"


def test_what_is_no_terminal_shows_no_progress():
    stream = io.StringIO()
    shown_on(stream, seconds=2.0)
    shown_on(None, seconds=2.0)
    assert stream.getvalue() == ""


def test_the_table_has_every_figure_once():
    names = [name for name, value in figures().items() if isinstance(value, (int, float))]
    names.remove("audit_dropped")
    numbers = {name: 1001 + position for position, name in enumerate(names)}
    numbers["hit_rate"], numbers["miss_rate"] = 0.4286, 0.5714
    stream = io.StringIO()
    print_table(figures(**numbers), stream)
    table = stream.getvalue()
    shown = [f"{number:.2%}" if isinstance(number, float) else f"{number:,}" for number in numbers.values()]
    assert [table.count(figure) for figure in shown] == [1] * len(shown)


def test_the_table_has_the_times_of_a_replay_in_virtual_time():
    stream = io.StringIO()
    print_table(figures(virtual_seconds=3600.25, latency_p50=0.0125, latency_p99=1.5), stream)
    for figure in ("3,600.2 s", "0.0125 s", "1.5000 s"):
        assert stream.getvalue().count(figure) == 1


def test_the_table_fits_an_old_terminal():
    stream = io.StringIO()
    print_table(figures(lookups=10**12, source_calls=10**12), stream)
    assert max(map(len, stream.getvalue().splitlines())) <= 80


def test_a_reader_who_has_seen_enough_is_left_to_the_caller():
    with pytest.raises(BrokenPipeError):
        print_table(figures(), ClosedPipe())
