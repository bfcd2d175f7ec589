"""The Job of Kubernetes on the page on clusters is one, and starts a command of ours."""

from __future__ import annotations

import re

import pytest
import yaml

from async_backfill._commands.cli import _app
from async_backfill._jobs._running.course import READ_TIMEOUT
from tests.docs.reading import MANUAL

(MANIFEST,) = re.findall(
    r"^```yaml\n(.*?)^```$", (MANUAL / "cluster.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.fixture
def job():
    return yaml.safe_load(MANIFEST)


@pytest.fixture
def pod(job):
    return job["spec"]["template"]["spec"]


def test_the_manifest_has_what_a_job_of_kubernetes_must_have(job, pod):
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert re.fullmatch("[a-z0-9-]+", job["metadata"]["name"])
    assert pod["restartPolicy"] in {"OnFailure", "Never"}
    assert "completions" not in job["spec"]  # the first worker that finds nothing left is the end of all
    assert all({"name", "image", "command"} <= container.keys() for container in pod["containers"])


def test_the_manifest_has_no_name_that_kubernetes_does_not_know(job, pod):
    kubernetes = pytest.importorskip("kubernetes_validate", reason="nox -s engines has it: it is large")
    kubernetes.validate(job, kubernetes.latest_version(), strict=True)
    pod["terminationGraceSeconds"] = 75
    with pytest.raises(kubernetes.ValidationError, match="terminationGraceSeconds"):
        kubernetes.validate(job, kubernetes.latest_version(), strict=True)


def test_a_worker_has_time_to_end_its_page(pod):
    assert pod["terminationGracePeriodSeconds"] >= READ_TIMEOUT + 10


def test_the_command_of_the_manifest_is_understood(pod):
    (worker,) = pod["containers"]
    assert worker["command"][:3] == ["python", "-m", "async_backfill"]
    _app("python").parse_args(worker["command"][3:], exit_on_error=False, print_error=False)
