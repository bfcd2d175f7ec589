"""What the tests of the command line share: a folder to work in, and scenarios to put there."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLD = b'{"hits": "of an earlier run"}\n'
SAMPLE = (ROOT / "data" / "sample_input.txt").read_text("utf-8")


def work_in(folder: Path, monkeypatch) -> None:
    """Make ``folder`` the current one, with the sample in it and a summary of an earlier run."""
    monkeypatch.chdir(folder)
    Path("old.json").write_bytes(OLD)
    Path("in.json").write_text(SAMPLE, "utf-8")


def scenario(**changed: object) -> str:
    return json.dumps({"source": {"a": 1}, "lookups": ["a"], **changed})


def names_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())
