"""The documents: their code runs as written, their commands and links lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
import shlex
import sys
from itertools import takewhile

import pytest

import async_backfill
from async_backfill._commands.cli import _app
from tests.docs.reading import (
    DOCUMENTS,
    MANUAL,
    PAGES,
    PROJECT,
    README,
    commands,
    examples,
    links,
    name_of,
)

EXAMPLES = [example for document in DOCUMENTS for example in examples(document)]
COMMANDS = [(document, words) for document in DOCUMENTS for words in commands(document)]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def _setup_commands() -> list[str]:
    return [line for line in README.read_text().splitlines() if line.startswith("python3 -m venv")]


def _arguments(words: list[str]) -> list[str] | None:
    """Return what a command hands to the command line of the package; ``None`` for any other command."""
    if words[0] == "async-backfill":
        return words[1:]
    return words[3:] if words[1:3] == ["-m", "async_backfill"] else None


# In this process: an interpreter for each example would take longer than all other tests of documents.
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_prints_what_the_document_says(example, tmp_path, monkeypatch, capsys, request):
    if "REDIS_URL" in example.code:
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("valkey_url"))
    for other in examples(example.document):
        if other.file and other.line < example.line:
            (tmp_path / other.file).write_text(other.code, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    try:
        exec(compile(example.code, str(example), "exec", dont_inherit=True), {"__name__": "__main__"})  # noqa: S102
    finally:
        for path in tmp_path.glob("*.py"):
            if path.stem not in before:
                sys.modules.pop(path.stem, None)
    printed = capsys.readouterr()
    assert printed.err == ""
    if example.prints is not None:
        assert printed.out == example.prints


def test_commands_of_the_documents_are_understood_and_name_files_that_exist():
    ours = [(name_of(document), words) for document, words in COMMANDS if _arguments(words) is not None]
    for document, words in ours:
        arguments = _arguments(words)
        _app("async-backfill").parse_args(arguments, exit_on_error=False, print_error=False)
        inputs = [word for word in arguments if word.startswith("data/") and "output" not in word]
        assert [path for path in inputs if not (PROJECT / path).is_file()] == [], document
    assert ours != []


def test_modules_that_the_documents_start_exist():
    started = {words[2] for _, words in COMMANDS if words[0].endswith("python") and words[1:2] == ["-m"]}
    missing = [name for name in started if importlib.util.find_spec(name) is None]
    assert missing == []


def test_the_readme_has_an_example_of_five_lines():
    first = examples(README)[0]
    assert len([line for line in first.code.splitlines() if line.strip()]) == 5


def test_the_readme_sets_up_the_main_job_then_the_tests_then_a_durable_job():
    replay, tests, durable = _setup_commands()
    assert replay.endswith(
        "-m async_backfill --input data/sample_input.txt --output data/output_summary.json"
    )
    assert tests.endswith("-m pytest -n 2 --dist loadfile")
    assert durable.endswith("-m docs.examples.whole_job")


def test_the_files_that_the_main_command_names_are_there():
    words = shlex.split(_setup_commands()[0])
    assert (PROJECT / words[words.index("--input") + 1]).is_file()


@each_document
def test_every_link_to_a_file_leads_to_one(document):
    assert [target for target in links(document) if not (document.parent / target).exists()] == []


_PRIVATE = re.compile(r"\basync_backfill(?:[./]\w+)*[./]_[a-z]\w*")


@each_page
def test_a_page_sends_nobody_to_a_private_module(page):
    assert _PRIVATE.findall(page.read_text("utf-8")) == []


def test_the_readme_sends_nobody_to_a_private_module():
    assert _PRIVATE.findall(README.read_text("utf-8")) == []


@each_page
def test_a_page_opens_with_a_summary_of_at_most_two_lines(page):
    title, empty, *rest = page.read_text("utf-8").splitlines()
    summary = list(takewhile(bool, rest))
    assert title.startswith("# ")
    assert empty == ""
    assert 1 <= len(summary) <= 2
    assert re.match(r"(> )?[\w`*]", summary[0])


def _pages_besides(names: set[str]) -> set[str]:
    return {page.relative_to(MANUAL).as_posix() for page in PAGES} - {"index.md", *names}


def test_every_page_is_in_the_navigation():
    _, navigation = (MANUAL / "index.md").read_text("utf-8").split("```{toctree}\n")
    missing = _pages_besides({f"{name}.md" for name in navigation.split()})
    assert missing == {"reference/async_backfill.md"}  # in that of the reference


def test_every_page_can_be_reached_from_the_index_by_a_link():
    assert _pages_besides(set(links(MANUAL / "index.md"))) == {"reference/async_backfill.md"}


def test_the_reference_lists_every_name_of_the_package_itself():
    face = ast.parse((PROJECT / "async_backfill/__init__.py").read_text("utf-8"))
    (exported,) = (node.value for node in face.body if isinstance(node, ast.Assign))
    page = (MANUAL / "reference/async_backfill.md").read_text("utf-8")
    listed = set(re.findall(r"(?:\.|autoclass:: |autofunction:: )(\w+)$", page, re.MULTILINE))
    assert set(ast.literal_eval(exported)) - listed == set()


def test_the_reference_lists_every_public_module():
    walked = pkgutil.walk_packages(async_backfill.__path__, "async_backfill.")
    public = {module.name for module in walked if "._" not in module.name and not module.ispkg}
    page = (MANUAL / "reference/index.md").read_text("utf-8")
    listed = set(re.findall(r"^   (async_backfill\S+)$", page, re.MULTILINE))
    assert {name for name in public if name.split(".")[1] != "redis"} - listed == set()
    assert "async_backfill.redis" in listed  # one import for all that a user needs there


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
