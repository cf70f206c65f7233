"""Real click-through rates: what YouTube's Reporting API says of the channels whose owners consented. Optional.

Beside the collection of niches and never mixed into it: consent is a person's, and so are the figures. Dagster keeps its events
for longer than a consent lasts, so that they count what happened and name no owner, no report and nothing out of one: those names
are what `thumbrank reach sync` prints.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg

from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.metadata import columns
from thumbrank_dagster.resources.state import StateResource

if TYPE_CHECKING:
    from thumbrank_core.youtube.reach.errors import ReachKind

GROUP = "collect"
NAMES = "`thumbrank reach sync` tries again and names each."
OWNER = re.compile(r"UC[\w-]{22}")
SAID: "dict[ReachKind, str]" = {
    "report_gone": "A report is no longer there",
    "report_line": "A report cannot be read, because a line in it is not what it should be",
    "report_unreadable": "A report cannot be read",
    "report_elsewhere": "A report lies elsewhere than at the API",
    "busy": "Google is busy",
    "unreachable": "Google cannot be reached",
    "answer": "Google's answer is broken or too large",
    "listing": "YouTube's list of jobs or reports cannot be used",
    "refused": "YouTube refuses a request",
    "not_allowed": "YouTube does not let an owner read reports",
    "api_disabled": "An API is not enabled in the project of THUMBRANK_OAUTH_CLIENT",
    "no_token": "Google gives no access token that serves",
    "other_client": "A consent was given to another OAuth client than THUMBRANK_OAUTH_CLIENT names",
    "forgotten": "An owner was forgotten and is not to be read again",
    "logged_out": "An owner was logged out",
    "consent_ended": "A consent has ended, and its rows and its token are removed",
    "first_report": "An owner waits for the first report, which YouTube makes within 48 hours of the order",
    "file_open": "The file of a consent can be read by others",
    "file_broken": "The file of a consent is broken",
    "file_unreadable": "The file of a consent cannot be read",
    "not_given": "A consent was not given",
}
"""What is said here of a sentence of sync.py, by its kind. Nothing of the sentence itself is kept."""


@dg.asset(
    group_name=GROUP,
    kinds={"youtube", "postgres"},
    owners=["team:data"],
    tags={"layer": "observed", "reads": "youtube_reporting_api"},
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "every_report_read",
            asset="owner_reach",
            description="Every report of every owner could be read; what could not is counted by kind, and the next run tries again.",
        )
    ],
)
def owner_reach(context: dg.AssetExecutionContext, state: StateResource) -> dg.MaterializeResult:
    """Real thumbnail impressions and click-through rates, by day and video, of the channels whose owners consented. Optional.

    Only a channel's owner can see how often a thumbnail was shown and clicked. The owner consents once with `thumbrank reach
    login`; YouTube then makes a report a day, the first within 48 hours, back to 30 days before. Each run reads the reports that
    are new and replaces days that YouTube issued again. A consent that was withdrawn takes its rows with it. Without any owner
    there is nothing to do, and that is fine: no other asset needs these figures. Reports vanish 60 days after they were made, so
    that it has to run every few days.
    """
    from thumbrank_core.progress import LineSink, listen, logger
    from thumbrank_core.store.overview import table_columns
    from thumbrank_core.youtube.reach.sync import Reach, sync_all

    # Dagster keeps what this logger says as events.
    progress = LineSink(lambda text: logger.info("%s", without_owners(text)), every=15.0)
    with one_sentence(), listen(progress):
        found = sync_all(Reach.of(state.settings, state.database))
        with state.database.connection() as connection:
            schema = columns(table_columns(connection, "thumbrank.owner_reach"))
    problems = by_kind(kind for each in found for kind in each.problem_kinds)
    news = said(by_kind(kind for each in found for kind in each.news_kinds))
    if not found:
        news = "No owner has consented: thumbrank reach login asks one."
    return dg.MaterializeResult(
        metadata={
            "dagster/table_name": "thumbrank.owner_reach",
            "dagster/column_schema": schema,
            "owners": len(found),
            "days": sum(each.days for each in found),
            "rows": sum(each.rows for each in found),
            "impressions": sum(each.impressions for each in found),
            "reissued": sum(each.reissued for each in found),
            "without_video": sum(each.without_video for each in found),
            "forgotten": sum(each.forgotten for each in found),
            "purged": sum(each.purged for each in found),
            "news": news or "nothing to tell",
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="every_report_read",
                passed=not problems,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "problems": f"{said(problems)} {NAMES}" if problems else "none",
                    "problems_by_kind": dg.MetadataValue.json(problems),
                },
            )
        ],
    )


def by_kind(kinds: "Iterable[ReachKind]") -> dict[str, int]:
    """How many of each kind, by what is said of it, the most frequent first."""
    return dict(Counter(SAID[kind] for kind in kinds).most_common())


def said(kinds: dict[str, int]) -> str:
    """The counts as sentences."""
    return " ".join(f"{kind} ({number} times)." if number > 1 else f"{kind}." for kind, number in kinds.items())


def without_owners(text: str) -> str:
    """The text without the id of any channel."""
    return OWNER.sub("an owner", text)
