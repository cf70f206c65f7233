"""Retention: what the policy no longer lets us keep goes, in every niche at once, beside the steps that make data."""

import dagster as dg
from pydantic import Field

from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.resources.state import StateResource

GROUP = "operate"


class RetentionConfig(dg.Config):
    """Launchpad options of `retention`."""

    dry_run: bool = Field(default=False, description="Count what would be removed, and remove nothing.")


@dg.asset(
    group_name=GROUP,
    kinds={"postgres"},
    owners=["team:data"],
    tags={"layer": "operations", "reads": "postgres"},
    code_version="1",
)
def retention(context: dg.AssetExecutionContext, config: RetentionConfig, state: StateResource) -> dg.MaterializeResult:
    """What is older than `config/policy.yaml` allows, removed from every store: rows, pictures, vectors, videos in reports.

    Models and their figures stay. Each removal is a row of counts in `retention_audit`. To be run every day.
    """
    from thumbrank_core.policy import load_policy
    from thumbrank_core.retention.removal import expire, stores_of

    with one_sentence():
        policy = load_policy(profile=state.settings.profile)
        removal = expire(state.database, stores_of(state.settings, state.images), policy, dry_run=config.dry_run)
    return dg.MaterializeResult(
        metadata={"mode": removal.mode, "dry_run": removal.dry_run, "removed": removal.total, **removal.counts}
    )
