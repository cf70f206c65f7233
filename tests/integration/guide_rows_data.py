"""The rows of docs/guide.md up to the pairs: architecture, prerequisites, schema, collecting and pairs."""

import re
from importlib.metadata import version

import psycopg
import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from tests.integration.collecting import RICH, TECH, generous, policy_of
from tests.integration.collecting import collect as collect_once
from tests.integration.guide_rows import ROOT, json_of, number_in, row
from tests.integration.guide_rows_house import settings
from tests.integration.test_labels import A, B, label
from thumbrank_core.cli import app
from thumbrank_core.features.specs import load_set
from thumbrank_core.niches import NICHES, load_niches
from thumbrank_core.paths import migrations_folder
from thumbrank_core.planning import Target
from thumbrank_core.policy import load_policy
from thumbrank_core.settings import Settings, SettingsError
from thumbrank_core.store.database import redact
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.connect import client_of

TABLES = {
    "thumbnails": {"video_id", "channel_key", "title", "published_at", "duration_seconds", "category_id", "tags"},
    "channel_baselines": {"channel_key", "video_count", "median_log_vph", "mad_log_vph", "mean_vph", "as_of"},
    "training_pairs": {"a_key", "b_key", "channel_key", "outcome", "margin", "soft_target", "niche"},
    "model_evaluations": {"model_sha256", "metric", "value", "ci_low", "ci_high", "n_pairs", "n_channels", "scorer"},
}
"""The guide's four, and columns without which they would not be what the guide means."""
VIEWS = {
    A: [(2, 9_000), (10, 24_000), (25, 30_000), (38, 90_000)],
    B: [(5, 5_000), (20, 48_000)],
}
"""(age in days, views) of the videos that the guide's labels and pairs are made of."""
KEY = "AIzaSyA-key-that-is-nobodys-and-never-shown"


def collect(db, url, simulator, home):
    """`thumbrank collect --niche tech` in the guide's profile."""
    before = simulator.attempts()
    with settings(
        DATABASE_URL=url,
        THUMBRANK_HOME=home,
        THUMBRANK_PROFILE="guide",
        YOUTUBE_API_KEY=KEY,
        YOUTUBE_API_ENDPOINT=simulator.endpoint,
    ):
        done = CliRunner().invoke(app, ["collect", "--niche", "tech"])
    assert done.exit_code == 0, done.output
    after = simulator.attempts()
    return db, done.output, {bucket: after[bucket] - before.get(bucket, 0) for bucket in after}


def found(db, statement, *parameters):
    with db.connection() as connection:
        return connection.execute(statement, parameters or None).fetchall()


def above(graph, asset):
    """The assets that come before it, however far."""
    import dagster as dg

    assets = graph.resolve_asset_graph()
    keys, left = set(), [dg.AssetKey(asset)]
    while left:
        for parent in assets.get(left.pop()).parent_keys - keys:
            keys.add(parent)
            left.append(parent)
    return {key.to_user_string() for key in keys}


# Architecture


@row("A.1")
def api_first(graph, collected):
    assert above(graph, "raw_videos") == set()
    _, _, asked = collected
    assert asked["search"] > 0 and asked["default"] > 0


@row("A.2")
def a_hundred_thousand_videos(row):
    said = json_of(CliRunner().invoke(app, ["plan", "--channels", "1500", "--per-channel", "133", "--json"]))
    assert said["videos"] == number_in(row.here, "videos") > 100_000


@row("A.3")
def rows_lie_in_postgres(house):
    [(schema, server)] = found(
        house.db,
        "select table_schema, current_setting('server_version_num')::int from information_schema.tables "
        "where table_name = 'thumbnails'",
    )
    assert schema == "thumbrank"
    assert server >= 150_000


@row("A.4")
def pairs_after_collection(graph):
    before = above(graph, "training_pairs")
    assert {"raw_videos", "channel_baselines"} <= before
    assert "embeddings" not in before


@row("A.5")
def embeddings_after_pairs(graph):
    assert {"training_pairs", "raw_videos"} <= above(graph, "embeddings")
    assert "trained_model" not in above(graph, "embeddings")


@row("A.6")
def one_model_many_tasks(graph):
    import dagster as dg

    assets = graph.resolve_asset_graph()
    assert "embeddings" in above(graph, "trained_model")
    assert assets.get(dg.AssetKey("trained_model")).partitions_def is None, "one model over the niches"
    assert set(assets.get(dg.AssetKey("embeddings")).partitions_def.get_partition_keys()) == set(NICHES)


@row("A.10")
def evaluation_after_training(graph):
    assert "trained_model" in above(graph, "evaluation_report")


@row("A.11")
def deployment_last(graph):
    assert "evaluation_report" in above(graph, "deployed_model")
    assert not any("deployed_model" in above(graph, name) for name in ("trained_model", "evaluation_report"))


# Prerequisites


@row("B.1")
def youtube_api_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with settings(YOUTUBE_API_KEY=KEY):
        read = Settings.read()
        assert isinstance(client_of(read), YouTube)
    assert KEY not in repr(read)
    (tmp_path / ".env").write_text(f"YOUTUBE_API_KEY={KEY}\n")
    key = Settings.read().youtube_api_key
    assert key is not None and key.get_secret_value() == KEY


@row("B.2")
def where_a_key_is_from(database_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with settings(DATABASE_URL=database_url, THUMBRANK_HOME=tmp_path, YOUTUBE_API_KEY=None):
        done = CliRunner().invoke(app, ["collect", "--niche", "tech"])
    assert done.exit_code == 1
    assert "YOUTUBE_API_KEY is not set: make a key in the Google Cloud console (YouTube Data API v3)" in done.stderr


@row("B.3")
def supabase_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        settings(SUPABASE_URL="https://your-project.supabase.co", DATABASE_URL=None),
        pytest.raises(SettingsError, match="set it as DATABASE_URL") as told,
    ):
        Settings.read().external_database_url()
    assert "project your-project" in str(told.value)


@row("B.4")
def supabase_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with settings(SUPABASE_KEY="your-service-role-key", DATABASE_URL=None):
        read = Settings.read()
        with pytest.raises(SettingsError, match="do not open an SQL connection") as told:
            read.external_database_url()
    assert "your-service-role-key" not in f"{told.value} {read!r}"


@row("B.5")
def supabase_as_postgres(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pooler = "postgresql://postgres.project:secret@aws-0-eu-central-1.pooler.supabase.com:5432/postgres?sslmode=require"
    with settings(DATABASE_URL=pooler, SUPABASE_URL="https://project.supabase.co"):
        assert Settings.read().external_database_url() == pooler
    assert "secret" not in redact(pooler)


@row("B.6")
def install(row):
    import tomllib

    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-"): line.partition("==")[2] for line in lines}
    for text in asked["dependencies"]:
        requirement = Requirement(text)
        pin = pinned[requirement.name.lower()].partition(";")[0].strip()
        assert requirement.specifier.contains(pin), text
        assert version(requirement.name).partition("+")[0] == pin.partition("+")[0], text
    assert asked["scripts"] == {"thumbrank": "thumbrank_dagster.__main__:main"}
    assert re.search(r"^setup:", (ROOT / "Makefile").read_text(), re.M)


# Step 1: the schema


def tables_of(url):
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select table_name, column_name, data_type from information_schema.columns "
            "where table_schema = 'thumbrank' and table_name <> 'schema_migrations' order by 1, 2"
        ).fetchall()


@row("S1.1")
def migrate(empty_database_url, database_url, tmp_path):
    with settings(DATABASE_URL=empty_database_url, THUMBRANK_HOME=tmp_path):
        first, again = (CliRunner().invoke(app, ["db", "migrate"]) for _ in range(2))
    assert first.exit_code == 0, first.output
    for file in migrations_folder().glob("*.sql"):
        assert f"applied {file.name}" in first.output
    assert "up to date" in again.output
    assert tables_of(empty_database_url) == tables_of(database_url)


@row("S1.2")
def schema_as_sql(empty_database_url, database_url):
    page = (ROOT / "docs" / "supabase.md").read_text(encoding="utf-8")
    [before] = re.findall(r"<<'SQL'\n(create schema .*?)^SQL$", page, re.DOTALL | re.MULTILINE)
    with psycopg.connect(empty_database_url, autocommit=True) as editor:
        editor.execute(before.encode())
        for file in sorted(migrations_folder().glob("*.sql")):
            editor.execute(file.read_bytes())
    assert tables_of(empty_database_url) == tables_of(database_url)


def _has_columns(db, table):
    names = {
        name for (name,) in found(db, "select column_name from information_schema.columns where table_name = %s", table)
    }
    assert names >= TABLES[table], table


@row("S1.3")
def table_thumbnails(house):
    _has_columns(house.db, "thumbnails")
    [(rows, videos)] = found(house.db, "select count(*), count(distinct video_id) from thumbrank.thumbnails")
    assert rows == videos > 0


@row("S1.4")
def table_channel_baselines(house):
    _has_columns(house.db, "channel_baselines")
    [(rows, channels)] = found(
        house.db, "select count(*), count(distinct channel_key) from thumbrank.channel_baselines"
    )
    assert rows == channels == 9


@row("S1.5")
def table_training_pairs(house):
    _has_columns(house.db, "training_pairs")
    assert found(house.db, "select distinct niche::text from thumbrank.training_pairs") == [("tech",)]


@row("S1.6")
def table_model_evaluations(house, evaluated):
    _has_columns(house.db, "model_evaluations")
    metrics = found(house.db, "select distinct metric from thumbrank.model_evaluations where scorer = 'model'")
    assert {"pair_auc_pooled", "spearman_within_channel"} <= {metric for (metric,) in metrics}


# Step 2: collecting


@row("S2.1")
def collect_command(collected):
    db, said, _ = collected
    assert "tech: complete" in said and "tech: pictures" in said
    assert KEY not in said
    [(videos, pictures)] = found(
        db,
        "select count(*), count(p.sha256) from thumbrank.thumbnails left join thumbrank.current_pictures p using (video_key)",
    )
    assert videos >= pictures > 0


@row("S2.2")
def search_by_niche(collected):
    db, _, _ = collected
    niches = load_niches()
    searched = {
        query
        for (query,) in found(
            db, "select distinct split_part(query, ':', 2) from thumbrank.discoveries where niche = 'tech'"
        )
    }
    assert searched and searched <= set(niches["tech"].queries)
    assert {"tech", "gaming", "education"} <= {key for key, niche in niches.items() if niche.queries and niche.enabled}


@row("S2.3")
def fifty_a_channel(db):
    guide = load_policy(profile="guide").collection
    assert (guide.per_channel, load_policy().collection.per_channel) == (50, 150)
    with generous(RICH) as youtube:
        collect_once(db, youtube, "tech", TECH, policy_of("guide"), "simulator")
    listed = [count for (count,) in found(db, "select count(*) from thumbrank.thumbnails group by channel_key")]
    [(uploads,)] = found(db, "select min(video_count) from thumbrank.channels where video_count > 0")
    assert uploads > 50 >= max(listed) > 30


@row("S2.4")
def metadata(collected):
    db, _, _ = collected
    [(videos, titled, dated, timed, counted)] = found(
        db,
        "select count(*), count(title), count(published_at), count(duration_seconds), count(view_count) "
        "from thumbrank.thumbnails left join thumbrank.latest_snapshots using (video_key) where live_broadcast = 'none'",
    )
    assert videos == titled == dated and min(timed, counted) > 0.9 * videos
    assert found(db, "select count(*) from thumbrank.channels where subscriber_count is not null")[0][0] > 0


@row("S2.5")
def views_per_hour(house):
    rows = found(house.db, "select view_count, observed_at, published_at, views_per_hour from thumbrank.videos")
    for views, seen, published, rate in rows:
        assert rate == pytest.approx(views / ((seen - published).total_seconds() / 3600))
    comment = found(
        house.db,
        "select col_description('thumbrank.videos'::regclass, attnum) from pg_attribute "
        "where attrelid = 'thumbrank.videos'::regclass and attname = 'views_per_hour'",
    )
    assert "never a click-through rate" in comment[0][0]


@row("S2.6")
def clip_and_minilm(house):
    videos = found(house.db, "select count(*)::int from thumbrank.thumbnails")[0][0]
    assert house.embedded.pictures_computed == house.embedded.titles_computed == videos
    widths = dict(found(house.db, "select split_part(encoder_id, ':', 1), dimension::int from thumbrank.encoders"))
    tiny = load_set("tiny")
    assert (widths["clip"], widths["sentence"]) == (tiny.image.dimension, tiny.title.dimension) == (128, 384)


@row("S2.7")
def target_size(row):
    sizes = []
    for channels, videos in re.findall(r"--channels (\d+) --per-channel (\d+)", row.here):
        sizes.append(Target(int(channels), int(videos)).videos)
    assert sizes == [120_000, 199_500]
    policy = load_policy().collection
    assert policy.max_channels * len(NICHES) == 1_500
    assert (policy.max_channels, policy.per_channel) == (
        number_in(row.verdict, "channels a niche"),
        number_in(row.verdict, "videos each"),
    )


@row("S2.8")
def time_to_collect(row):
    said = json_of(CliRunner().invoke(app, ["plan", "--json"]))
    assert max(job["days"] for job in said["units"]) == 1 == number_in(row.here, "day of quota")
    assert max(job["units"] for job in said["units"]) == number_in(row.here, "units")
    assert "69 seconds" in (ROOT / "docs" / "collection.md").read_text() and "69 s" in row.verdict


# Step 3: pairs


def pairs_of(db):
    """Each pair as (channel of a, of b, days between, views per hour of a, of b, outcome, margin)."""
    return found(
        db,
        "select a.channel_id, b.channel_id, abs(extract(epoch from a.published_at - b.published_at))::float8 / 86400, "
        "a.views_per_hour, b.views_per_hour, p.outcome, p.margin from thumbrank.pairs p "
        "join thumbrank.videos a on a.video_id = a_video_id join thumbrank.videos b on b.video_id = b_video_id",
    )


@row("S3.1")
def pairs_on_their_own(paired):
    before = pairs_of(paired)
    label(paired, policy=load_policy(profile="guide"))
    assert sorted(pairs_of(paired)) == sorted(before)
    assert found(paired, "select count(*) from thumbrank.discoveries") == [(0,)], "nothing was collected for it"


@row("S3.2")
def same_channel(paired):
    pairs = pairs_of(paired)
    assert {channel for channel, *_ in pairs} == {A, B}
    assert all(a == b for a, b, *_ in pairs)


@row("S3.3")
def within_30_days(paired):
    ages = {channel: [age for age, _ in videos] for channel, videos in VIEWS.items()}
    near = [abs(x - y) for of in ages.values() for place, x in enumerate(of) for y in of[:place] if abs(x - y) <= 30]
    assert sorted(days for _, _, days, *_ in pairs_of(paired)) == pytest.approx(sorted(near))
    assert len(near) == 6, "one of the seven is 36 days apart"
    assert load_policy(profile="guide").pairs.window_days == 30
    assert (load_policy(profile="guide").pairs.later_partners, load_policy().pairs.later_partners) == (None, 8)


@row("S3.4")
def winner_by_views_per_hour(paired):
    for _, _, _, a, b, outcome, _ in pairs_of(paired):
        assert outcome == (a > b)
    assert found(paired, "select label from thumbrank.pair_builds") == [("views_per_hour",)]
    assert load_policy().labels.label == "age_adjusted"


@row("S3.5")
def margin_column(paired):
    for _, _, _, a, b, _, margin in pairs_of(paired):
        assert margin == pytest.approx(abs(a - b) / max(a, b), abs=1e-6)
