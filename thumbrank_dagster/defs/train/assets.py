"""Training: one multi-task model over the niches that a run names."""

from typing import Any

import dagster as dg
from pydantic import Field

from thumbrank_dagster.defs.embed.assets import embeddings
from thumbrank_dagster.metadata import one_sentence, picture
from thumbrank_dagster.partitions import ALL_NICHES
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource

GROUP = "train"


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


@dg.asset(
    deps=[dg.AssetDep(embeddings, partition_mapping=ALL_NICHES)],
    group_name=GROUP,
    kinds={"pytorch", "mlflow"},
    owners=["team:ml"],
    code_version="1",
    pool="gpu",
)
def trained_model(
    context: dg.AssetExecutionContext, config: TrainConfig, state: StateResource, mlflow: MlflowResource
) -> dg.MaterializeResult:
    """The ranking model: one network over all named niches, split by channel, selected on validation channels.

    Registered in MLflow as `challenger`. Named after its data, recipe, encoders and code: when none of them changed, the
    bundle that is there already is taken and nothing is trained.
    """
    from thumbrank_core.evaluation.plots import learning_curve
    from thumbrank_core.features.encoders import best_device
    from thumbrank_core.features.precision import settle
    from thumbrank_core.features.specs import load_set
    from thumbrank_core.niches import enabled_niches, require_niche
    from thumbrank_core.retraining import train_and_register
    from thumbrank_core.training.dataset import load_dataset
    from thumbrank_core.training.recipe import load_recipe

    with one_sentence():
        niches = [require_niche(niche) for niche in config.niches] if config.niches else list(enabled_niches())
        recipe = load_recipe(config.recipe, config.overrides)
        with state.database.connection() as connection:
            encoders = settle(connection, load_set(config.encoders or state.settings.encoders), best_device())
        dataset = load_dataset(state.database, niches, encoders)
        done = train_and_register(
            dataset,
            recipe,
            encoders,
            state.models,
            mlflow.registry(),
            lambda: mlflow.tracker(f"{recipe.name} on {len(niches)} niches", context),
        )
    card = done.run.card
    return dg.MaterializeResult(
        metadata={
            "trained": done.run.trained,
            "version": done.version.number,
            "niches": ", ".join(niches),
            "recipe": card.recipe["name"],
            "encoder_set": card.encoder_set,
            "label": card.label,
            "best_epoch": card.best_epoch,
            "epochs_run": len(card.history),
            "validation_accuracy": max(record.validation_accuracy for record in card.history),
            "seconds": card.seconds,
            "items": card.n_items,
            "pairs": dg.MetadataValue.json(card.n_pairs),
            "channels": dg.MetadataValue.json(card.n_channels),
            "pairs_left_out": dataset.left_out,
            "bundle": dg.MetadataValue.path(str(done.run.folder)),
            "mlflow_run": done.version.run_id,
            "learning_curve": picture(learning_curve(card.history, card.best_epoch), "learning curve"),
        },
        data_version=dg.DataVersion(card.fingerprint[:16]),
    )
