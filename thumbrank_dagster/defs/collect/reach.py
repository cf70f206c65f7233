"""Real click-through rates: what YouTube's Reporting API says of the channels whose owners consented. Optional.

Beside the collection of niches and never mixed into it: consent is a person's, and so are the figures.
"""

import dagster as dg

from thumbrank_dagster.metadata import one_sentence
from thumbrank_dagster.resources.state import StateResource

GROUP = "collect"


@dg.asset(
    group_name=GROUP,
    kinds={"youtube", "postgres"},
    owners=["team:data"],
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "every_report_read",
            asset="owner_reach",
            description="Every report of every owner could be read; what could not is named, and the next run tries again.",
        )
    ],
)
def owner_reach(context: dg.AssetExecutionContext, state: StateResource) -> dg.MaterializeResult:
    """Real thumbnail impressions and click-through rates, by day and video, of the channels whose owners consented.

    A channel's owner consents once with `thumbrank reach login`; YouTube then makes a report a day, the first within 48
    hours, back to 30 days before. Each run reads the reports that are new and replaces days that YouTube issued again. A
    consent that was withdrawn takes its rows with it. Without any owner there is nothing to do, and that is fine: nothing
    else needs these figures. To be run every few days: reports vanish 60 days after they were made.
    """
    from thumbrank_core.youtube.reach.sync import Reach, sync_all

    with one_sentence():
        found = sync_all(Reach.of(state.settings, state.database))
    problems = [f"{each.owner_id}: {problem}" for each in found for problem in each.problems]
    news = [sentence for each in found for sentence in each.news]
    if not found:
        news = ["No owner has consented: thumbrank reach login asks one."]
    return dg.MaterializeResult(
        metadata={
            "owners": len(found),
            "days": sum(each.days for each in found),
            "rows": sum(each.rows for each in found),
            "impressions": sum(each.impressions for each in found),
            "reissued": sum(each.reissued for each in found),
            "without_video": sum(each.without_video for each in found),
            "forgotten": sum(each.forgotten for each in found),
            "purged": sum(each.purged for each in found),
            "news": " ".join(news) or "nothing to tell",
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="every_report_read",
                passed=not problems,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"problems": " ".join(problems) or "none"},
            )
        ],
    )
