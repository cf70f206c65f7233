"""Asking Dagster's webserver, as its UI does."""

import time
from typing import Any

import httpx

LAUNCH = """
mutation($job: String!, $tags: [ExecutionTag!]!, $config: RunConfigData!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "thumbrank", repositoryName: "__repository__", jobName: $job},
    mode: "default", runConfigData: $config, executionMetadata: {tags: $tags}
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


def ask(base: str, query: str, **variables: Any) -> Any:
    """The data of an answer without errors."""
    answer = httpx.post(f"{base}/graphql", json={"query": query, "variables": variables}, timeout=60, trust_env=False)
    answer.raise_for_status()
    content = answer.json()
    assert "errors" not in content, content["errors"]
    return content["data"]


def launch(base: str, job: str, tags: dict[str, str], config: dict[str, Any] | None = None) -> str:
    """Launch a job; returns the run's id."""
    pairs = [{"key": key, "value": value} for key, value in tags.items()]
    launched = ask(base, LAUNCH, job=job, tags=pairs, config=config or {})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def wait_for_end(base: str, run_id: str, patience: float) -> str:
    """The status a run ends with."""
    deadline = time.monotonic() + patience
    while (status := str(ask(base, STATUS, id=run_id)["runOrError"]["status"])) not in ENDED:
        assert time.monotonic() < deadline, f"run {run_id} is still {status}"
        time.sleep(1)
    return status
