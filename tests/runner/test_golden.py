from __future__ import annotations

import csv
import gzip
import json
import tomllib
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from tests.runner.reference_model import DEFAULTS, ReferenceModel, with_bare_errors

DATA = Path(__file__).parents[2] / "data"


def expected_file(scenario: Path) -> Path:
    if scenario.name == "sample_input.txt":
        return DATA / "output_summary.json"
    return scenario.with_name(f"{scenario.stem}.expected.json")


SCENARIOS = sorted(
    path
    for path in (*DATA.glob("*.txt"), *DATA.glob("*.json"), *DATA.glob("*.toml"))
    if path.name != "output_summary.json" and not path.name.endswith(".expected.json")
)
VIRTUAL = [path for path in SCENARIOS if "lookups_per_second" in path.read_text("utf-8")]
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=[path.name for path in SCENARIOS])


@each_scenario
def test_a_scenario_gives_its_expected_summary_to_the_byte(scenario, tmp_path):
    output = tmp_path / "summary.json"
    virtual = ["--virtual-time"] if scenario in VIRTUAL else []
    assert main(["--input", str(scenario), "--output", str(output), "--quiet", *virtual]) == 0
    assert output.read_text("utf-8") == expected_file(scenario).read_text("utf-8")


in_source_order = [
    path for path in SCENARIOS if path not in VIRTUAL and '"history"' not in path.read_text("utf-8")
]


@pytest.mark.parametrize("scenario", in_source_order, ids=[path.name for path in in_source_order])
def test_an_expected_summary_is_what_the_reference_model_works_out(scenario):
    text = scenario.read_text("utf-8")
    document = tomllib.loads(text) if scenario.suffix == ".toml" else json.loads(text)
    expected = json.loads(expected_file(scenario).read_text("utf-8"))
    rows, failures = read_source(document["source"])
    settings = {name: document[name] for name in DEFAULTS if name in document}
    model = ReferenceModel(rows, settings, **failures)
    assert model.summary(read_lookups(document["lookups"])) == with_bare_errors(expected)


def test_every_expected_summary_belongs_to_a_scenario():
    expected = {path.name for path in DATA.glob("*.expected.json")} | {"output_summary.json"}
    assert expected == {expected_file(scenario).name for scenario in SCENARIOS}


def test_the_sample_has_the_figures_that_the_design_names():
    summary = json.loads((DATA / "output_summary.json").read_text("utf-8"))
    named = {
        "hits": 3,
        "misses": 4,
        "absent": 2,
        "hit_rate": 0.4286,
        "miss_rate": 0.5714,
        "backfills": 2,
        "cache_size": 5,
        "source_keys": 5,
    }
    assert {name: summary[name] for name in named} == named


@pytest.mark.parametrize(
    ("scenario", "options", "changed"),
    [
        ("max_backfills.json", ["--max-backfills", "none"], {"backfills": 3, "backfills_denied": 0}),
        ("thrashing.json", ["--no-backfill-evicts"], {"hits": 14, "backfills": 1, "source_keys": 9}),
        ("flights_weather.json", ["--max-backfills", "0"], {"misses": 20934, "source_calls": 20934}),
    ],
)
def test_without_its_setting_a_scenario_ends_as_the_readme_says(scenario, options, changed, tmp_path):
    output = tmp_path / "summary.json"
    assert main(["--input", str(DATA / scenario), "--output", str(output), "--quiet", *options]) == 0
    summary = json.loads(output.read_text("utf-8"))
    assert {name: summary[name] for name in changed} == changed


def read_source(spec: dict) -> tuple[dict, dict]:
    """The rows of a source, and how it fails, read without the package."""
    kind = spec.get("kind")
    if kind == "table":
        with gzip.open(DATA / spec["file"], "rt", encoding="utf-8", newline="") as file:
            rows = {row.pop(spec["key"]): row for row in csv.DictReader(file)}
        return {key: row[spec["value"]] if "value" in spec else row for key, row in rows.items()}, {}
    if kind == "simulated":
        return {f"key_{number}": number for number in range(spec["keys"])}, {
            "error_rate": spec["error_rate"],
            "seed": spec["seed"],
        }
    return spec, {}


def read_lookups(spec: list | dict) -> list[str]:
    if isinstance(spec, list):
        return spec
    return gzip.decompress((DATA / spec["file"]).read_bytes()).decode().splitlines()


def test_after_a_restart_history_makes_fewer_calls_than_no_backfill_or_source_order(tmp_path):
    def calls(*options):
        output = tmp_path / "summary.json"
        assert (
            main(["--input", str(DATA / "restart.json"), "--output", str(output), "--quiet", *options]) == 0
        )
        return json.loads(output.read_text("utf-8"))["source_calls"]

    history, source, none = calls(), calls("--selection=source"), calls("--max-backfills=0")
    assert history < source < none
