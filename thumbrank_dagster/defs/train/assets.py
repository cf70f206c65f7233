"""Training: one multi-task model over the niches that a run names."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from thumbrank_dagster.defs.embed.assets import embeddings
from thumbrank_dagster.defs.train.checks import TRAINING_CHECKS, check_borders, check_learning
from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.metadata import picture
from thumbrank_dagster.partitions import ALL_NICHES
from thumbrank_dagster.resources.alerts import run_page
from thumbrank_dagster.resources.state import StateResource

if TYPE_CHECKING:
    from thumbrank_core.retraining import Registered, Request
    from thumbrank_core.training_worker import Start

GROUP = "train"
LAST_WORDS = 120.0
"""Seconds in which processes that are told to stop may finish their step and save."""


class TrainConfig(dg.Config):
    """Launchpad options of `trained_model`. Every one may be left as it is."""

    niches: list[str] | None = Field(
        default=None,
        description="Niches to learn from, such as [tech, news]. Unset: every enabled one of config/niches.yaml.",
    )
    recipe: str = Field(
        default="default",
        description="How to train: a file of config/recipes/ by its name (default, guide, phase2, phase3).",
    )
    overrides: dict[str, Any] = Field(
        default={},
        description="Fields of the recipe to change for this run, such as {epochs: 20}; thumbrank_core/training/recipe.py explains each.",
    )
    encoders: str | None = Field(
        default=None,
        description="Whose vectors to learn from: a set of config/encoders.yaml, the one that `embeddings` ran with. Unset: "
        "THUMBRANK_ENCODERS, else production.",
    )
    resume: str | None = Field(
        default=None,
        description="Path of a checkpoint to continue from. Unset: that of an interrupted run of the same training, if there is one.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        description="Processes on each machine, at most one a GPU: torchrun on CPUs, accelerate launch on GPUs.",
    )
    nodes: int = Field(
        default=1,
        ge=1,
        description="Machines. This run is node 0; the run's log says what the others have to run (docs/training.md).",
    )
    rendezvous: str | None = Field(
        default=None,
        description="host:port of this run's machine as the other nodes reach it, such as trainer-0:29400. Only for several nodes.",
    )
    wandb: bool = Field(
        default=False,
        description="Tell Weights & Biases too, by WANDB_API_KEY; where it is unset, to disk.",
    )


@dg.asset(
    deps=[dg.AssetDep(embeddings, partition_mapping=ALL_NICHES)],
    check_specs=TRAINING_CHECKS,
    group_name=GROUP,
    kinds={"pytorch", "mlflow"},
    owners=["team:ml"],
    code_version="3",
    pool="gpu",
)
def trained_model(
    context: dg.AssetExecutionContext, config: TrainConfig, state: StateResource
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """The ranking model: one network over all named niches, split by channel, selected on validation channels.

    Every niche is looked at again first: one with leaking splits, too few vectors or counts of last month stops the run, and
    nothing is registered. Registered in MLflow as `challenger`. Named after its data, recipe, encoders and code: when none of them
    changed, the bundle that is there already is taken and nothing is trained. A run that was stopped continues from its checkpoint.
    """
    from thumbrank_core.launch import Nodes
    from thumbrank_core.retraining import Request, retrain
    from thumbrank_core.training.borders import BorderError
    from thumbrank_core.training_worker import Start

    request = Request(
        niches=tuple(config.niches or ()),
        recipe=config.recipe,
        overrides=config.overrides,
        encoders=config.encoders,
        resume=config.resume,
        wandb=config.wandb,
        tags=_tags(context, state.settings.dagster_url),
    )
    with one_sentence():
        start = Start(config.workers, Nodes(config.nodes, 0, config.rendezvous))
        try:
            if start.world_size > 1:
                _train_in_processes(context, request, start, state)
            # After several processes this finds what the first of them registered.
            done = retrain(request, state.database, state.settings)
        except BorderError as error:
            yield check_borders(error.borders)
            raise
    assert done is not None, "a process of its own registers"
    yield dg.MaterializeResult(
        metadata=_metadata(done),
        check_results=[check_borders(done.borders), check_learning(done.run.card)],
        data_version=dg.DataVersion(done.run.card.fingerprint[:16]),
    )


def _metadata(done: "Registered") -> dict[str, Any]:
    from thumbrank_core.evaluation.plots.curves import learning_curve

    card = done.run.card
    return {
        "trained": done.run.trained,
        "version": done.version.number,
        "niches": ", ".join(card.niches),
        "data_versions": dg.MetadataValue.json(card.niches),
        "recipe": card.recipe["name"],
        "encoder_set": card.encoder_set,
        "label": card.label,
        "shipped": card.shipped,
        "best_epoch": card.best_epoch,
        "epochs_run": len(card.history),
        "validation_accuracy": round(max(record.validation_accuracy for record in card.history), 4),
        "seconds": round(card.seconds, 1),
        "items": card.n_items,
        "pairs": dg.MetadataValue.json(card.n_pairs),
        "channels": dg.MetadataValue.json(card.n_channels),
        "pairs_left_out": dg.MetadataValue.json(done.left_out),
        "notes": card.notes,
        "sub_score_agreement": dg.MetadataValue.json(
            {
                signal: None if agreement is None else round(agreement, 3)
                for signal, agreement in card.sub_score_agreement.items()
            }
        ),
        "bundle": dg.MetadataValue.path(str(done.run.folder)),
        "mlflow_run": done.version.run_id if done.page is None else dg.MetadataValue.url(done.page),
        "learning_curve": picture(learning_curve(card.history, card.best_epoch), "learning curve"),
    }


def _tags(context: dg.AssetExecutionContext, dagster_url: str | None) -> dict[str, str]:
    """What MLflow's run says of this one."""
    run = context.run.run_id
    tags = {"dagster_run_id": run, "dagster_asset": context.asset_key.to_user_string()}
    page = run_page(dagster_url, run)
    return tags if page is None else tags | {"dagster_run_url": page}


def _train_in_processes(
    context: dg.AssetExecutionContext, request: "Request", start: "Start", state: StateResource
) -> None:
    """Start this machine's processes through Pipes, so that their words are the run's and its end is theirs; the first reports."""
    from thumbrank_core import launch, training_worker
    from thumbrank_core.training.stored import check_borders as require_borders

    start.check(state.settings)
    require_borders(state.database, state.settings, request.niches, request.encoders)
    command = launch.command(
        "thumbrank_dagster.training_worker",
        training_worker.arguments(request, start.world_size),
        start.workers,
        start.nodes,
    )
    if start.nodes.count > 1:
        lines = "\n".join(training_worker.other_nodes(request, start))
        context.log.info(
            f"Waiting {launch.ARRIVAL.total_seconds() / 60:.0f} minutes for the other nodes; each runs:\n{lines}"
        )
    client = dg.PipesSubprocessClient(forward_termination=True, termination_timeout_seconds=LAST_WORDS)
    client.run(context=context, command=command, env=launch.environment(start.workers))
