"""The documents: their code runs as written, their commands and links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(PROJECT.glob("*.md")),
    *sorted(PROJECT.glob("data/*.md")),
    *sorted(PROJECT.glob("tests/*.md")),
    *sorted(PROJECT.glob("benchmarks/*.md")),
]
README = PROJECT / "README.md"

_EXAMPLE = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\nprints?\n\n```text\n(?P<prints>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)[^)]*\)")


def _examples() -> list:
    return [
        pytest.param(
            example["code"], example["prints"], id=f"{document.name}:{document_line(document, example)}"
        )
        for document in DOCUMENTS
        for example in _EXAMPLE.finditer(document.read_text())
    ]


def document_line(document: Path, match: re.Match) -> int:
    return document.read_text().count("\n", 0, match.start()) + 1


def _setup_commands() -> list[str]:
    return [line for line in README.read_text().splitlines() if line.startswith("python3 -m venv")]


@pytest.mark.parametrize(("code", "prints"), _examples())
def test_an_example_runs_as_written_and_prints_what_the_document_says(code, prints, tmp_path, request):
    servers = {"REDIS_URL": request.getfixturevalue("valkey_url")} if "REDIS_URL" in code else {}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT), "PYTHONUTF8": "1", **servers},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    assert ran.returncode == 0
    if prints is not None:
        assert ran.stdout == prints


def test_the_readme_has_an_example_of_five_lines():
    first = _EXAMPLE.search(README.read_text())
    assert first is not None
    assert len([line for line in first["code"].splitlines() if line.strip()]) == 5


def test_the_readme_has_set_up_commands_for_the_main_job_the_tests_and_an_example():
    job, tests, example = _setup_commands()
    assert job.endswith("-m async_backfill --input data/sample_input.txt --output data/output_summary.json")
    assert tests.endswith("-m pytest -n 2 --dist loadfile")
    assert example.endswith("-m tests.examples.shared_tier")


def test_the_files_that_the_main_command_names_are_there():
    words = shlex.split(_setup_commands()[0])
    assert (PROJECT / words[words.index("--input") + 1]).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_to_a_file_leads_to_one(document):
    targets = [match["target"] for match in _LINK.finditer(document.read_text())]
    assert [target for target in targets if not (document.parent / target).exists()] == []


_PROMISED = re.compile(r"`(?P<file>[a-z0-9_/]+\.py)::(?P<test>test_[a-z0-9_]+)`")


def test_every_test_that_holds_the_cache_to_a_promise_is_there():
    promises = [match.groups() for match in _PROMISED.finditer((PROJECT / "tests/promises.md").read_text())]
    missing = [
        (file, test)
        for file, test in promises
        if not (PROJECT / "tests" / file).is_file()
        or f"def {test}(" not in (PROJECT / "tests" / file).read_text()
    ]
    assert len(promises) > 30
    assert missing == []


def test_the_name_of_a_test_has_at_most_eighty_letters():
    sources = "".join(path.read_text("utf-8") for path in (PROJECT / "tests").rglob("test_*.py"))
    assert re.findall(r"def (test_\w{76,})", sources) == []
