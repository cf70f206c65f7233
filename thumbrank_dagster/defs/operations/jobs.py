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

evaluate_again = dg.define_asset_job(
    "evaluate_again",
    selection=dg.AssetSelection.assets("evaluation_report"),
    description="Evaluate the newest model again, such as on A/B outcomes that came since. Nothing is trained, nothing deployed.",
)

read_owner_reach = dg.define_asset_job(
    "read_owner_reach",
    selection=dg.AssetSelection.assets("owner_reach"),
    description="Read the new reports of every owner who consented. No owner: nothing to do.",
)

apply_retention = dg.define_asset_job(
    "apply_retention",
    selection=dg.AssetSelection.assets("retention"),
    description="Remove what config/policy.yaml no longer lets us keep, from every store.",
)

JOBS = [refresh_niche, train_and_deploy, evaluate_again, read_owner_reach, apply_retention]
