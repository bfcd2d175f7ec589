"""The scenarios in the documents are understood, and the sample prints what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from async_backfill._commands.cli import main
from async_backfill._runner.scenario.decode import decode
from async_backfill._runner.scenario.document import parse

PROJECT = Path(__file__).parents[2]
DOCUMENTS = [PROJECT / "README.md", *sorted(PROJECT.glob("docs/*.md"))]
SAMPLE = "--input data/sample_input.txt --output data/output_summary.json"


def _fences(*languages):
    fence = re.compile(rf"^```({'|'.join(languages)})\n(?P<content>.*?)^```\n", re.MULTILINE | re.DOTALL)
    return [match["content"] for path in DOCUMENTS for match in fence.finditer(path.read_text("utf-8"))]


def test_every_scenario_in_a_document_is_one():
    scenarios = [content for content in _fences("json", "toml") if "lookups" in content]
    for content in scenarios:
        decode(parse(content, "document"), "document")

    assert scenarios != []


def test_the_sample_prints_what_the_document_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    shutil.copy(PROJECT / "data/sample_input.txt", "data")
    said = (PROJECT / "docs/replaying_and_tuning.md").read_text("utf-8")

    assert main(shlex.split(SAMPLE)) == 0
    assert f"```text\n{capsys.readouterr().out}```" in said
