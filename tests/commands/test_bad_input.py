"""Bad input of more than 175 kinds: one line that says what and where, and nothing else happens."""

from __future__ import annotations

import pytest

from async_backfill._commands.cli import main
from tests.commands import bad_input

DOCUMENTS = {
    f"{group}: {name}": case
    for group in ("DOCUMENTS", "SETTINGS", "SOURCES", "LOOKUPS")
    for name, case in getattr(bad_input, group).items()
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all: no case may change it."""
    folder = tmp_path_factory.mktemp("bad")
    bad_input.write_files(folder)
    return folder


def marks(folder) -> dict[str, tuple[int, ...]]:
    """What shows that a file was written, by its name."""
    found = {path.name: path.stat() for path in folder.iterdir()}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def complaint(folder, capsys, monkeypatch, options: list[str], code: int = 2) -> str:
    monkeypatch.chdir(folder)
    before = marks(folder)
    assert main(options) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    line, end, rest = printed.err.partition("\n")
    assert (line[:7], end, rest) == ("error: ", "\n", "")
    assert line.isprintable()
    assert marks(folder) == before
    return line


@pytest.mark.parametrize(("document", "words"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_bad_scenario_is_refused_in_one_line(folder, capsys, monkeypatch, document, words):
    content = document if isinstance(document, bytes) else document.encode()
    (folder / "in.json").write_bytes(content)
    options = ["--input", "in.json", "--output", "old.json"]
    if words == "!":  # the source says it, when it is asked
        assert "in.json: $.source" in complaint(folder, capsys, monkeypatch, options, code=1)
    else:
        assert words in complaint(folder, capsys, monkeypatch, options)


@pytest.mark.parametrize(("options", "words"), bad_input.HISTORIES.values(), ids=bad_input.HISTORIES)
def test_a_bad_log_is_refused_in_one_line(folder, capsys, monkeypatch, options, words):
    given = ["history", *options] if "--to" in options else ["history", "--to", "old.json", *options]
    assert words in complaint(folder, capsys, monkeypatch, given)


@pytest.mark.parametrize(("options", "words"), bad_input.COMMANDS.values(), ids=bad_input.COMMANDS)
def test_a_bad_command_is_refused_in_one_line(folder, capsys, monkeypatch, options, words):
    (folder / "in.json").write_text(bad_input.text(), "utf-8")
    given = ["--output", "old.json"] if "--output" not in options else []
    assert words in complaint(folder, capsys, monkeypatch, ["--input", "in.json", *given, *options])


def test_there_are_at_least_175_kinds():
    assert len(DOCUMENTS) + len(bad_input.HISTORIES) + len(bad_input.COMMANDS) >= 175
