"""Jobs. Niche assets and model assets never share one: a partitioned job would retrain the shared model once per niche."""

import dagster as dg

NICHE_ASSETS = ["raw_videos", "thumbnail_images", "channel_baselines", "training_pairs", "embeddings"]
MODEL_ASSETS = ["trained_model", "evaluation_report", "deployed_model"]

refresh_niche = dg.define_asset_job(
    "refresh_niche",
    selection=dg.AssetSelection.assets(*NICHE_ASSETS),
    description="Collect one niche and bring its pairs and embeddings up to date. No model.",
)

train_and_deploy = dg.define_asset_job(
    "train_and_deploy",
    selection=dg.AssetSelection.assets(*MODEL_ASSETS),
    description="Train one model over the named niches, evaluate it on unseen channels, deploy it if it earned it.",
)
