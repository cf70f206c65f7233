"""Embeddings: of the videos that count, each computed once in its life."""

import dagster as dg

from thumbrank_dagster.defs.label.assets import training_pairs
from thumbrank_dagster.metadata import counts, one_sentence
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.state import StateResource

GROUP = "embed"


class EmbeddingsConfig(dg.Config):
    """Launchpad options of `embeddings`."""

    encoders: str | None = None
    """An encoder set of config/encoders.yaml. Unset: THUMBRANK_ENCODERS, else production."""


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    deps=[training_pairs],
    group_name=GROUP,
    kinds={"huggingface", "postgres"},
    owners=["team:ml"],
    code_version="1",
    pool="gpu",
    check_specs=[
        dg.AssetCheckSpec(
            "coverage",
            asset="embeddings",
            blocking=True,
            description="At least 95 % of the wanted pictures have a vector.",
        )
    ],
)
def embeddings(
    context: dg.AssetExecutionContext, config: EmbeddingsConfig, state: StateResource
) -> dg.MaterializeResult:
    """CLIP vectors of the pictures and MiniLM vectors of the titles of the niche's videos that count.

    Content-addressed in Postgres (float16): a second run computes nothing, a changed picture computes one.
    """
    from thumbrank_core.features.embed import embed_niche
    from thumbrank_core.features.specs import load_set
    from thumbrank_core.store.versions import data_version

    niche = context.partition_key
    with one_sentence():
        encoders = load_set(config.encoders or state.settings.encoders)
        embedded = embed_niche(state.database, state.images, niche, encoders, offline=state.settings.offline)
        with state.database.connection() as connection:
            version = data_version(connection, "pictures", niche) + data_version(connection, "pairs", niche)
    return dg.MaterializeResult(
        metadata=counts(
            embedded,
            niche=niche,
            coverage=embedded.coverage,
            encoder_set=encoders.name,
            image_encoder=encoders.image.encoder_id,
            title_encoder=encoders.title.encoder_id,
        ),
        data_version=dg.DataVersion(f"{encoders.name}-{version}"),
        check_results=[
            dg.AssetCheckResult(
                check_name="coverage",
                passed=embedded.coverage >= 0.95,
                metadata={"niche": niche, "coverage": embedded.coverage, "misses": embedded.misses},
            )
        ],
    )
