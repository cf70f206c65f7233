"""Training: one multi-task model over the niches that a run names."""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from thumbrank_dagster.defs.embed.assets import embeddings
from thumbrank_dagster.metadata import one_sentence, picture
from thumbrank_dagster.partitions import ALL_NICHES
from thumbrank_dagster.resources.state import StateResource

if TYPE_CHECKING:
    from thumbrank_core.retraining import Request

GROUP = "train"
LAST_WORDS = 120.0
"""Seconds in which processes that are told to stop may finish their step and save."""


class TrainConfig(dg.Config):
    """Launchpad options of `trained_model`."""

    niches: list[str] | None = Field(
        default=None, description="Niches to learn from. Unset: every enabled one of config/niches.yaml."
    )
    recipe: str = Field(default="default", description="A recipe of config/recipes/.")
    overrides: dict[str, Any] = Field(
        default={}, description="Recipe fields to change for this run, such as epochs: 20."
    )
    encoders: str | None = Field(
        default=None, description="An encoder set. Unset: THUMBRANK_ENCODERS, else production."
    )
    resume: str | None = Field(
        default=None,
        description="A checkpoint to continue from. Unset: that of an interrupted run of the same training.",
    )
    workers: int = Field(default=1, ge=1, description="Processes: torchrun on CPUs, accelerate launch on GPUs.")
    wandb: bool = Field(default=False, description="Tell Weights & Biases too; to disk where there is no account.")


@dg.asset(
    deps=[dg.AssetDep(embeddings, partition_mapping=ALL_NICHES)],
    check_specs=[
        dg.AssetCheckSpec(
            "learning",
            asset="trained_model",
            description="The history says nothing against the model: AUC off 0.5, correlation above 0.1, no wide gap to training, "
            "no collapse to the margin",
        )
    ],
    group_name=GROUP,
    kinds={"pytorch", "mlflow"},
    owners=["team:ml"],
    code_version="2",
    pool="gpu",
)
def trained_model(context: dg.AssetExecutionContext, config: TrainConfig, state: StateResource) -> dg.MaterializeResult:
    """The ranking model: one network over all named niches, split by channel, selected on validation channels.

    Registered in MLflow as `challenger`. Named after its data, recipe, encoders and code: when none of them changed, the
    bundle that is there already is taken and nothing is trained. A run that was stopped continues from its checkpoint.
    """
    from thumbrank_core.evaluation.plots import learning_curve
    from thumbrank_core.retraining import Request, retrain

    request = Request(
        niches=tuple(config.niches or ()),
        recipe=config.recipe,
        overrides=config.overrides,
        encoders=config.encoders,
        resume=config.resume,
        wandb=config.wandb,
        tags={"dagster_run_id": context.run.run_id, "dagster_asset": context.asset_key.to_user_string()},
    )
    with one_sentence():
        if config.workers > 1:
            _train_in_processes(context, request, config.workers)
        # After several processes this finds what the first of them registered.
        done = retrain(request, state.database, state.settings)
    assert done is not None, "a process of its own registers"
    card = done.run.card
    return dg.MaterializeResult(
        metadata={
            "trained": done.run.trained,
            "version": done.version.number,
            "niches": ", ".join(card.niches),
            "recipe": card.recipe["name"],
            "encoder_set": card.encoder_set,
            "label": card.label,
            "shipped": card.shipped,
            "best_epoch": card.best_epoch,
            "epochs_run": len(card.history),
            "validation_accuracy": max(record.validation_accuracy for record in card.history),
            "seconds": card.seconds,
            "items": card.n_items,
            "pairs": dg.MetadataValue.json(card.n_pairs),
            "channels": dg.MetadataValue.json(card.n_channels),
            "pairs_left_out": done.left_out,
            "notes": card.notes,
            "sub_score_agreement": dg.MetadataValue.json(card.sub_score_agreement),
            "bundle": dg.MetadataValue.path(str(done.run.folder)),
            "mlflow_run": done.version.run_id,
            "learning_curve": picture(learning_curve(card.history, card.best_epoch), "learning curve"),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="learning",
                passed=not card.findings,
                severity=dg.AssetCheckSeverity.WARN,
                metadata=dict(card.findings),
            )
        ],
        data_version=dg.DataVersion(card.fingerprint[:16]),
    )


def _train_in_processes(context: dg.AssetExecutionContext, request: "Request", workers: int) -> None:
    """Start the processes through Pipes, so that their words are the run's and its end is theirs; the first one reports."""
    from thumbrank_core import launch, training_worker

    command = launch.command("thumbrank_dagster.training_worker", training_worker.arguments(request, workers), workers)
    client = dg.PipesSubprocessClient(forward_termination=True, termination_timeout_seconds=LAST_WORDS)
    client.run(context=context, command=command, env=launch.environment(workers))
