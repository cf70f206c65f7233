"""Running the graph from the command line: the same assets, jobs and checks as in the UI, in this process, recorded in the
same instance.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psutil
from dagster._core.errors import DagsterAssetCheckFailedError, DagsterExecutionInterruptedError

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.explain import causes, explain
from thumbrank_core.progress import say
from thumbrank_dagster.defs.operations.jobs import NICHE_ASSETS

ON_STORED_ROWS = NICHE_ASSETS[NICHE_ASSETS.index("channel_baselines") :]
"""The niche assets that need no API: what `thumbrank run` starts from."""
PROCESS_TAG = "thumbrank/process"
"""On runs inside a command's own process: its number and start, so that a later command knows whether it still lives."""
QUIET_LOGS: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class GraphError(ThumbrankError):
    """A step of the graph stopped; the sentence names the step, the reason and the mend."""


@dataclass(frozen=True)
class Choice:
    """What a run of the graph is told. `niche_assets` are materialised per niche, then the model assets once."""

    niches: Sequence[str]
    encoders: str
    recipe: str
    overrides: Mapping[str, Any]
    niche_assets: Sequence[str]


def run_graph(
    definitions: dg.Definitions, instance: dg.DagsterInstance, choice: Choice
) -> Mapping[str, Mapping[str, Any]]:
    """Materialise the niche assets of every niche, then train, evaluate and deploy.

    Returns:
        Asset name -> the metadata of its (last) materialisation, as plain values.

    Raises:
        GraphError: a step failed or a blocking check did not pass.
        KeyboardInterrupt: somebody pressed Ctrl-C; finished steps stay finished.
    """
    release_dead_runs(instance)
    found: dict[str, Mapping[str, Any]] = {}
    for number, niche in enumerate(choice.niches, start=1):
        say(f"[{number}/{len(choice.niches)}] {niche}")
        config = QUIET_LOGS | {"ops": {"embeddings": {"config": {"encoders": choice.encoders}}}}
        done = _execute(definitions, instance, "refresh_niche", choice.niche_assets, config, niche)
        pairs, vectors = done["training_pairs"], done["embeddings"]
        missed = sum(vectors["misses"].values())
        say(
            f"{niche}: {pairs['pairs']:,} pairs in {pairs['channels']:,} channels, {vectors['videos'] - missed:,} pictures "
            f"embedded ({vectors['pictures_wanted'] - missed:,} distinct)"
        )
        found |= done
    say("training, evaluating, deploying")
    training = {
        "niches": list(choice.niches),
        "recipe": choice.recipe,
        "overrides": dict(choice.overrides),
        "encoders": choice.encoders,
    }
    config = QUIET_LOGS | {"ops": {"trained_model": {"config": training}}}
    return found | _execute(definitions, instance, "train_and_deploy", None, config, None)


def release_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs whose process was killed, and give back the pool slots they still hold; returns their ids.

    Without it a `kill -9` in the middle of a collection would hold `youtube_api`'s only slot for ever.
    """
    unfinished = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    released: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and not _lives(process):
            instance.report_run_failed(run, "Its process was killed; the next run continued from what was stored.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            released.append(run.run_id)
    return released


def _this_process() -> str:
    process = psutil.Process()
    return f"{process.pid}:{process.create_time():.2f}"


def _lives(process: str) -> bool:
    pid, _, started = process.partition(":")
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except psutil.NoSuchProcess:
        return False


def _execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    assets: Sequence[str] | None,
    config: Mapping[str, Any],
    niche: str | None,
) -> dict[str, Mapping[str, Any]]:
    selection = [dg.AssetKey(name) for name in assets] if assets else None
    try:
        result = definitions.resolve_job_def(job).execute_in_process(
            run_config=dict(config),
            instance=instance,
            partition_key=niche,
            asset_selection=selection,
            raise_on_error=True,
            tags={PROCESS_TAG: _this_process()},
        )
    except DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    except Exception as error:
        sentence = _sentence(definitions, error)
        if sentence is None:
            raise
        raise GraphError(f"{niche or job}: {sentence}") from None
    found: dict[str, Mapping[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        materialised = event.step_materialization_data.materialization
        found[materialised.asset_key.to_user_string()] = {
            name: getattr(value, "value", value) for name, value in materialised.metadata.items()
        }
    return found


def _sentence(definitions: dg.Definitions, error: Exception) -> str | None:
    for cause in causes(error):
        if isinstance(cause, dg.Failure):
            return cause.description
        if isinstance(cause, DagsterAssetCheckFailedError):
            return _check_sentence(definitions, str(cause))
    return explain(error)


def _check_sentence(definitions: dg.Definitions, message: str) -> str:
    """Dagster's message names asset and check; what the check asks for stands in its definition."""
    named = re.search(r"(\w+): (\w+)\W*$", message)
    if named is None:
        return " ".join(message.split())
    asset, check = named.groups()
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    asked = definitions.resolve_asset_graph().get_check_spec(key).description or ""
    return (
        f"{asset} stopped at its check {check} ({asked.rstrip('.')}): what was counted stands in the asset's metadata, "
        "`thumbrank dev` shows it."
    )
