"""Embeddings: of the videos in pairs, each computed once in its life."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from thumbrank_dagster.defs.embed.checks import EMBEDDING_CHECKS, check_embeddings
from thumbrank_dagster.defs.label.assets import training_pairs
from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.metadata import counts, table
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.state import StateResource

if TYPE_CHECKING:
    from thumbrank_core.features.signals.combine import Signals

GROUP = "embed"


def _correlations(signals: "Signals") -> dg.MarkdownMetadataValue:
    """The table of Spearman correlations between the six signals: six copies of one would be a column of ones."""
    from thumbrank_core.features.signals.combine import correlations, mean_off_diagonal
    from thumbrank_core.features.signals.definitions import SIGNALS

    table = correlations(signals.values)
    lines = ["| | " + " | ".join(SIGNALS) + " |", "|---" * (len(SIGNALS) + 1) + "|"]
    for name, row in zip(SIGNALS, table.tolist(), strict=True):
        lines.append(f"| {name} | " + " | ".join("" if value != value else f"{value:.2f}" for value in row) + " |")
    lines.append(
        f"\nn = {len(signals.values)} videos; mean of the others' absolute values {mean_off_diagonal(table):.2f}."
    )
    return dg.MetadataValue.md("\n".join(lines))


class EmbeddingsConfig(dg.Config):
    """Launchpad options of `embeddings`."""

    encoders: str | None = Field(
        default=None, description="An encoder set of config/encoders.yaml. Unset: THUMBRANK_ENCODERS, else production."
    )
    workers: int = Field(
        default=1, ge=1, description="Processes that share the niche: torchrun on a CPU, accelerate launch on GPUs."
    )
    compile: bool = Field(
        default=False, description="Run the image tower through torch.compile: minutes at first, faster after."
    )


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    deps=[training_pairs],
    group_name=GROUP,
    kinds={"huggingface", "postgres"},
    owners=["team:ml"],
    tags={"layer": "derived", "reads": "pictures"},
    code_version="2",
    pool="gpu",
    check_specs=EMBEDDING_CHECKS,
)
def embeddings(
    context: dg.AssetExecutionContext, config: EmbeddingsConfig, state: StateResource
) -> dg.MaterializeResult:
    """Pictures and titles as numbers: what the model sees of them. Of the videos in pairs only.

    An encoder turns a picture or a title into a vector: CLIP for pictures and titles, MiniLM for titles. Beside them, six weak
    signals that a person would name (clarity, contrast, …), which the model's sub-scores learn from. Each vector is stored once, under
    the sha256 of what it is of: a second run computes nothing, an exchanged picture computes one. On a GPU where there is one.
    """
    from thumbrank_core.features.embed import Embedding, embed_niche
    from thumbrank_core.features.precision import settle
    from thumbrank_core.features.specs import load_set
    from thumbrank_core.features.stored import read_niche
    from thumbrank_core.store.overview import overview

    niche = context.partition_key
    with one_sentence():
        name = config.encoders or state.settings.encoders
        if config.workers > 1:
            from thumbrank_core.features.workers import Task, start

            start(Task(niche, name, config.workers, compiled=config.compile))
        with state.database.connection() as connection:
            encoders = settle(connection, load_set(name))
        how = Embedding(encoders, offline=state.settings.offline, compiled=config.compile)
        embedded = embed_niche(state.database, state.images, niche, how)
        with state.database.connection() as connection:
            stored = read_niche(connection, niche, encoders)
            checks = check_embeddings(connection, niche, embedded, stored)
            rows = overview(connection, "embeddings", niche)
    return dg.MaterializeResult(
        metadata=counts(
            embedded,
            niche=niche,
            coverage=stored.coverage["pictures"],
            encoder_set=encoders.name,
            image_encoder=encoders.image.encoder_id,
            title_encoder=encoders.title.encoder_id,
            signal_coverage=stored.signal_coverage,
            signal_correlations=_correlations(stored.signals),
        )
        | table(rows, len(stored.image) + len(stored.title) + len(stored.caption)),
        data_version=dg.DataVersion(stored.version),
        check_results=checks,
    )
