"""The product as a team uses it from the Dagster UI: on Postgres storage, through GraphQL and in a browser, with its daemon.

One instance for all of it, and in this order: one niche, one killed run, everything, the pages.
"""

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from tests.e2e.graphql import launch, wait_for_end
from tests.e2e.processes import left_behind
from tests.e2e.product import WORLD, product
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.labels.baselines import replace_baselines
from thumbrank_core.labels.build import build_pairs, judge, load_rules
from thumbrank_core.niches import NICHES, load_niches
from thumbrank_core.paths import migrations_folder
from thumbrank_core.policy import load_policy
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.migrate import migrate
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.collect import collect_niche
from thumbrank_core.youtube.pictures import fetch_pictures
from thumbrank_dagster.defs.operations.jobs import MODEL_ASSETS, NICHE_ASSETS
from thumbrank_dagster.demo import world_home

SCREENSHOTS = Path(__file__).parent / "screenshots"
"""What the browser saw, for people to look at; the README's two pictures are made of these."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = {
    "videos": "select t.video_id, t.title, t.published_at, t.duration_seconds from thumbrank.thumbnails t "
    "join thumbrank.channels c using (channel_key) where c.niche = %s",
    "channels": "select channel_id, title, split from thumbrank.channels where niche = %s",
    "pictures": "select t.video_id, p.sha256 from thumbrank.picture_versions p join thumbrank.thumbnails t using (video_key) "
    "join thumbrank.channels c using (channel_key) where c.niche = %s",
    "pairs": "select a.video_id, b.video_id from thumbrank.training_pairs p join thumbrank.thumbnails a on a.video_key = p.a_key "
    "join thumbrank.thumbnails b on b.video_key = p.b_key where p.niche = %s",
}


@pytest.fixture(scope="module")
def running():
    with product() as found:
        home = found.home
        yield found
        found.stop()
        assert left_behind(home) == []


def rows(connection, niche):
    return {name: sorted(connection.execute(query, (niche,)).fetchall()) for name, query in ROWS.items()}


def test_a_backfill_of_one_niche_runs_that_niche_and_nothing_else(running):
    runs = running.backfill(NICHE_ASSETS, ["tech"])
    assert [run.status for run in runs] == ["SUCCESS"] * len(runs)
    made = [(asset, niche) for run in runs for asset, niche, _ in run.made]
    assert sorted(made) == sorted((asset, "tech") for asset in NICHE_ASSETS)
    assert running.runs() == runs, "nothing else was launched"
    with running.connection() as connection:
        niches = connection.execute("select distinct niche::text from thumbrank.channels").fetchall()
        pairs = connection.execute("select distinct niche::text from thumbrank.training_pairs").fetchall()
    assert niches == pairs == [("tech",)]


def test_a_run_that_was_killed_is_ended_and_its_retry_ends_with_the_same_tables(running, tmp_path):
    killed = launch(running.base, "refresh_niche", {"dagster/partition": "gaming"})
    deadline = time.monotonic() + 120
    while True:
        [run] = running.runs(runIds=[killed])
        with running.connection() as connection:
            [(videos,)] = connection.execute(
                "select count(*) from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) where c.niche = 'gaming'"
            ).fetchall()
        if videos and "thumbrank/process" in run.tags:
            break
        assert run.status not in ("SUCCESS", "FAILURE"), "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(int(run.tags["thumbrank/process"].split(":")[1]), signal.SIGKILL)
    deadline = time.monotonic() + 120
    while running.runs(runIds=[killed])[0].status != "FAILURE":
        assert time.monotonic() < deadline, "nobody noticed that its process was gone"
        time.sleep(1)
    deadline = time.monotonic() + 120
    while not (retries := [run for run in running.runs() if run.parent == killed]):
        assert time.monotonic() < deadline, "Dagster lost it, and `dead_runs` did not say it again"
        time.sleep(1)
    assert wait_for_end(running.base, retries[0].run_id, patience=180) == "SUCCESS"
    with running.connection() as connection:
        found = rows(connection, "gaming")
    assert found == undisturbed(running, tmp_path)
    assert all(found.values())


def undisturbed(running, tmp_path):
    """The same niche of the same YouTube in a database of its own, by the library, without anybody's kill."""
    place = world_home(Settings.model_construct(home=running.home), WORLD)
    endpoint = f"http://127.0.0.1:{(place / 'simulator.port').read_text()}"
    policy = load_policy()
    with EmbeddedPostgres(place) as server:
        url = server.create_database("undisturbed")
        migrate(url, migrations_folder())
        with Database(url) as database:
            api = YouTube(SecretStr("simulator"), endpoint)
            done = collect_niche(
                database, api, "gaming", load_niches()["gaming"], policy, "simulator", Exclusions({}, {})
            )
            assert done.state == "complete"
            fetch_pictures(database, ImageStore(tmp_path / "images"), "gaming", policy, Exclusions({}, {}))
            with database.connection() as connection:
                chosen = load_rules("gaming", "default")
                judge(connection, "gaming", chosen)
                replace_baselines(connection, "gaming")
                build_pairs(connection, "gaming", chosen)
                found = rows(connection, "gaming")
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier("undisturbed")))
    return found


def test_a_full_backfill_runs_six_niches_then_one_training_one_report_and_one_promotion(running):
    runs = running.backfill([*NICHE_ASSETS, *MODEL_ASSETS])
    made = sorted((made for run in runs for made in run.made), key=lambda made: made[2])
    order = [(asset, niche) for asset, niche, _ in made]
    assert sorted(order[:-3]) == sorted((asset, niche) for asset in NICHE_ASSETS for niche in NICHES)
    assert order[-3:] == [(asset, None) for asset in MODEL_ASSETS]
    for niche in NICHES:
        assert [asset for asset, of in order if of == niche] == NICHE_ASSETS
    with running.connection() as connection:
        [(kind,)] = connection.execute("select kind from thumbrank.promotions").fetchall()
    assert kind in ("promoted", "refused")


@pytest.fixture
def page(running, chromium):
    """A tab on the webserver; what the page itself complains about is a failure."""
    SCREENSHOTS.mkdir(exist_ok=True)
    with chromium.new_context(viewport={"width": 1600, "height": 900}, base_url=running.base) as context:
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        errors = []
        tab.on("pageerror", lambda error: errors.append(error))
        yield tab
        assert errors == []


def look(page, name, settle_ms=1500):
    """A picture of what is there once nothing moves any more."""
    page.wait_for_timeout(settle_ms)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def test_the_lineage_page_shows_every_asset_in_its_group(page, running):
    page.goto("/asset-groups")
    page.get_by_text("Hide navigation").click()
    page.get_by_text("collect", exact=True).last.wait_for()
    page.keyboard.press("Alt+e")  # expand all groups
    for asset in (*NICHE_ASSETS, *MODEL_ASSETS, "owner_reach", "retention", "monthly_digest"):
        page.get_by_text(asset, exact=True).last.wait_for()
    look(page, "lineage", settle_ms=4000)


def test_the_backfill_dialog_with_one_niche_ticked_says_one_partition(page, running):
    page.goto("/locations/__repository__@thumbrank/jobs/refresh_niche")
    page.get_by_role("button", name="Materialize all").first.click()
    page.get_by_text("Select a partition or create one").click()
    for niche in NICHES:
        page.get_by_role("menuitem", name=niche).wait_for()
    page.get_by_role("menuitem", name="tech").click()
    page.get_by_text("1 partition", exact=True).wait_for()
    look(page, "backfill")
    before = len(running.runs())
    page.get_by_role("dialog").first.get_by_text("Cancel", exact=True).click(force=True)
    assert len(running.runs()) == before


def test_a_training_is_launched_by_clicks_from_its_launchpad(page, running):
    before = {run.run_id for run in running.runs()}
    page.goto("/locations/__repository__@thumbrank/jobs/train_and_deploy")
    page.locator('button:has([aria-label="arrow_drop_down"])').first.click()
    page.get_by_role("menuitem", name="Open launchpad").click()
    page.get_by_text("No errors").wait_for()
    for field in ("recipe", "overrides", "workers"):
        assert page.locator(".CodeMirror.cm-s-config-editor").inner_text().count(field) == 1
    look(page, "launchpad")
    page.get_by_text("Materialize", exact=True).last.click()
    deadline = time.monotonic() + 180
    while not (ended := [r for r in running.runs() if r.run_id not in before and r.status in ("SUCCESS", "FAILURE")]):
        assert time.monotonic() < deadline, [(r.job, r.status) for r in running.runs()]
        time.sleep(1)
    [run] = ended
    assert (run.status, run.job) == ("SUCCESS", "train_and_deploy")
    assert [asset for asset, _, _ in run.made] == MODEL_ASSETS


def test_the_evaluation_s_page_has_its_plot_and_its_link_to_mlflow(page, running):
    page.goto("/assets/evaluation_report")
    page.get_by_text("verdict_sentence", exact=True).first.wait_for()
    link = page.locator(f'a[href^="{running.mlflow}/#/experiments/"]').first
    assert "/runs/" in link.get_attribute("href")
    row = page.locator("tr", has=page.get_by_text("against_references_plot", exact=True)).first
    row.scroll_into_view_if_needed()
    row.get_by_text("[Show Markdown]").click()
    plot = page.locator('img[src^="data:image/png"]').first
    plot.wait_for()
    assert plot.evaluate("image => image.complete && image.naturalWidth") > 300
    look(page, "evaluation")
