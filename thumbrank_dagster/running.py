"""Running the graph from the command line: the same assets, jobs and checks as in the UI, in this process, recorded in the
same instance.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.explain import causes, explain
from thumbrank_core.interrupts import is_interrupt, sigterm_kept
from thumbrank_core.progress import say
from thumbrank_dagster.dead_runs import RunProcess, release
from thumbrank_dagster.defs.operations.jobs import NICHE_ASSETS

ON_STORED_ROWS = NICHE_ASSETS[NICHE_ASSETS.index("channel_baselines") :]
"""The niche assets that need no API: what `thumbrank run` starts from."""
BY_HAND = {"dagster/max_retries": "0"}
"""The daemon cannot start these runs again: they belong to a terminal, whose next command goes on."""
QUIET_LOGS: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class GraphError(ThumbrankError):
    """A step of the graph stopped; the sentence names the step, the reason and the mend."""


@dataclass(frozen=True)
class GraphOptions:
    """What a run of the graph is told. `niche_assets` are materialised per niche, then the model assets once."""

    niches: Sequence[str]
    encoders: str
    recipe: str
    niche_assets: Sequence[str]


def run_graph(
    definitions: dg.Definitions, instance: dg.DagsterInstance, options: GraphOptions
) -> Mapping[str, Mapping[str, Any]]:
    """Materialise the niche assets of every niche, then train, evaluate and deploy.

    Returns:
        Asset name -> the metadata of its (last) materialisation, as plain values.

    Raises:
        GraphError: a step failed or a blocking check did not pass.
        KeyboardInterrupt: somebody pressed Ctrl-C; finished steps stay finished.
    """
    release(instance)
    found: dict[str, Mapping[str, Any]] = {}
    for number, niche in enumerate(options.niches, start=1):
        say(f"[{number}/{len(options.niches)}] {niche}")
        config = QUIET_LOGS | {"ops": {"embeddings": {"config": {"encoders": options.encoders}}}}
        done = _execute(definitions, instance, "refresh_niche", options.niche_assets, config, niche)
        pairs, vectors = done["training_pairs"], done["embeddings"]
        missed = sum(vectors["misses"].values())
        say(
            f"{niche}: {pairs['pairs']:,} pairs in {pairs['channels']:,} channels, {vectors['videos'] - missed:,} pictures "
            f"embedded ({vectors['pictures_wanted'] - missed:,} distinct)"
        )
        found |= done
    say("training, evaluating, deploying")
    training = {
        "niches": list(options.niches),
        "recipe": options.recipe,
        "encoders": options.encoders,
    }
    config = QUIET_LOGS | {"ops": {"trained_model": {"config": training}}}
    return found | _execute(definitions, instance, "train_and_deploy", None, config, None)


def _execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    assets: Sequence[str] | None,
    config: Mapping[str, Any],
    niche: str | None,
) -> dict[str, Mapping[str, Any]]:
    selection = [dg.AssetKey(name) for name in assets] if assets else None
    run_id = str(uuid.uuid4())
    try:
        with sigterm_kept():
            result = definitions.resolve_job_def(job).execute_in_process(
                run_config=dict(config),
                instance=instance,
                partition_key=niche,
                asset_selection=selection,
                raise_on_error=True,
                run_id=run_id,
                tags=RunProcess.this(run_id).tags | BY_HAND,
            )
    except BaseException as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from None
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


def _sentence(definitions: dg.Definitions, error: BaseException) -> str | None:
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
