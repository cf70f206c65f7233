"""A blocked border: whatever is wrong with a niche stops training with its name, in the run, in the check and on the command line."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from tests.integration import learning
from tests.integration.conftest import SEEN, store_videos
from tests.integration.retention_house import House
from tests.integration.test_evidence import channels
from tests.integration.test_labels import A, B, label
from tests.integration.test_training_data import ENCODERS, channel_in
from thumbrank_core.cli import app
from thumbrank_core.registry import Registry
from thumbrank_core.retraining import retrain
from thumbrank_core.training import borders
from thumbrank_core.training.borders import BorderError
from thumbrank_core.training.loading import load_dataset
from thumbrank_dagster.defs.train.assets import TrainConfig

BORDERS = dg.AssetCheckKey(dg.AssetKey("trained_model"), "borders")
LEAK = "update thumbrank.channels set split = 'train' where split = 'validation'"
HALF = (
    "delete from thumbrank.embeddings e using (select sha256, row_number() over (order by sha256) as row from "
    "(select distinct sha256 from thumbrank.picture_versions) p) p where e.sha256 = p.sha256 and p.row % 2 = 0"
)
STALE = (
    "with of_api as (update thumbrank.thumbnails set source = 'youtube_api' returning video_key) "
    "update thumbrank.view_snapshots set observed_at = now() - interval '40 days' where video_key in (select video_key from of_api)"
)
BLOCKED = [
    pytest.param(LEAK, "tech has leaking splits, 2 channels in one that is not its own", id="leak"),
    pytest.param(HALF, "tech has vectors of 50.0% of its pictures, 95% are asked", id="coverage"),
    pytest.param(STALE, "tech was last counted 40 days ago, 35 at most", id="stale"),
]


def change(db, *statements):
    with db.connection() as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def learnable(db, images, world):
    learning.fill(db, images, world)
    return db


@pytest.fixture
def registered(learnable, database_url, tmp_path, monkeypatch):
    """A champion, and a newer challenger, before anything goes wrong."""
    learning.configure(monkeypatch, database_url, tmp_path)
    settings = House(learnable, tmp_path, {}).settings
    registry = Registry(settings.tracking_uri)
    done = retrain(learning.ASKED, learnable, settings)
    assert done is not None and done.version.number == 1
    registry.point("champion", 1)
    return settings, registry


@pytest.mark.parametrize(("statement", "says"), BLOCKED)
def test_a_blocked_border_is_named_by_the_run_the_check_and_the_command_line(
    learnable, registered, statement, says, monkeypatch
):
    settings, registry = registered
    change(learnable, statement)
    with dg.DagsterInstance.ephemeral() as instance:
        done = learning.materialise(instance, overrides={**learning.OVERRIDES, "seed": 1})
        [record] = instance.event_log_storage.get_asset_check_execution_history(BORDERS, limit=5)
    assert not done.success
    [failure] = done.get_step_failure_events()
    said = failure.step_failure_data.user_failure_data
    assert said is not None and said.description is not None
    assert said.description.startswith(f"Training stops: {says}")
    assert said.description.endswith("mend that, or leave it out (--niche on the command line, `niches` in Dagster).")
    assert record.status.value == "FAILED"
    assert record.event is not None and record.event.dagster_event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    assert (evaluation.passed, evaluation.blocking) == (False, True)
    why = evaluation.metadata["tech"].value
    assert isinstance(why, str) and why.startswith(says.removeprefix("tech "))

    asked = ["--niche", "tech", "--encoders", "tiny", "--epochs", "2", "--set", "hidden_dim=8", "--seed", "1"]
    for more in ([], ["--dry-run"], ["--workers", "2"]):
        told = CliRunner().invoke(app, ["train", *asked, *more])
        assert told.exit_code == 1
        assert f"Training stops: {says}" in told.output
        assert "Traceback" not in told.output

    assert [registry.get(alias).number for alias in ("champion", "challenger")] == [1, 1]
    assert len(list(settings.models.glob("*/bundle.json"))) == 1


def test_a_good_run_passes_with_the_figures_of_every_niche_and_links_both_ways(learnable, registered, monkeypatch):
    settings, _ = registered
    monkeypatch.setenv("THUMBRANK_DAGSTER_URL", "https://dagster.example/")
    monkeypatch.setenv("THUMBRANK_MLFLOW_URL", "https://mlflow.example")
    with dg.DagsterInstance.ephemeral() as instance:
        done = learning.materialise(instance, overrides={**learning.OVERRIDES, "seed": 1})
    checks = {check.check_name: check for check in done.get_asset_check_evaluations()}
    assert set(checks) == {"borders", "learning"}
    assert checks["borders"].passed
    assert checks["borders"].metadata["tech"].value == {
        "pairs": 75,
        "leaks": 0,
        "pictures_with_a_vector": 1.0,
        "titles_with_a_vector": 1.0,
    }
    [made] = done.asset_materializations_for_node("trained_model")
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    link = made.metadata["mlflow_run"].value
    assert isinstance(link, str)
    run = client.get_run(link.rpartition("/")[2])
    assert link == f"https://mlflow.example/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert run.data.tags["dagster_run_url"] == f"https://dagster.example/runs/{done.run_id}"
    versions = made.metadata["data_versions"].value
    assert isinstance(versions, dict) and list(versions) == ["tech"]


def test_every_option_of_the_launchpad_has_a_default_and_says_what_it_is():
    for name, field in TrainConfig.model_fields.items():
        assert not field.is_required(), name
        assert field.description is not None and len(field.description) > 40, name


def test_every_niche_that_may_not_pass_is_named_with_every_reason_and_its_mend(db, images, world):
    store_videos(db, images, world, {channel_in("train"): [(10, 5_000), (12, 6_000)]})
    label(db)
    change(db, STALE)
    with pytest.raises(BorderError) as refused, db.connection() as connection:
        borders.check(connection, ["tech", "news"], ENCODERS, datetime.now(UTC))
    assert str(refused.value) == (
        "Training stops: tech has vectors of 0.0% of its pictures and 0.0% of its titles, 95% are asked (embed it with the "
        "encoders of this training: asset embeddings, or `thumbrank run --niche NAME --encoders SET`), and was last "
        "counted 40 days ago, 35 at most (refresh it); news has no training pairs (collect or import it "
        "first): mend that, or leave them out (--niche on the command line, `niches` in Dagster)."
    )
    assert [border.niche for border in refused.value.borders] == ["tech", "news"]
    with pytest.raises(BorderError) as loaded:
        load_dataset(db, ["tech", "news"], ENCODERS, "train")
    assert str(loaded.value) == str(refused.value)


@pytest.mark.parametrize("statement", [HALF, STALE])
def test_a_model_is_measured_on_old_counts_and_on_the_pictures_that_are_there(learnable, statement):
    change(learnable, statement)
    assert load_dataset(learnable, ["tech"], ENCODERS).items.video_id


def test_nothing_is_measured_on_leaking_splits(learnable):
    change(learnable, LEAK)
    with pytest.raises(BorderError, match=r"^Nothing is measured: tech has leaking splits, 2 channels"):
        load_dataset(learnable, ["tech"], ENCODERS)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "update thumbrank.training_pairs set channel_key = (select max(channel_key) from thumbrank.channels)",
            "leaks, 60 pairs across channels (build its training pairs again)",
        ),
        (
            "update thumbrank.thumbnails set exclusion_reason = 'few_views' where video_key = "
            "(select min(a_key) from thumbrank.training_pairs)",
            "pairs of left-out videos (build its training pairs again)",
        ),
        (
            "update thumbrank.picture_versions set phash = 7",
            "leaks, 18 videos whose picture or upload another split has too",
        ),
    ],
)
def test_each_leak_is_said(learnable, statement, says):
    change(learnable, statement)
    with pytest.raises(BorderError) as refused:
        load_dataset(learnable, ["tech"], ENCODERS)
    assert says in str(refused.value)


def test_a_niche_whose_label_is_a_clock_is_not_trained_on(db, images, world):
    """Sixty channels whose newer videos always win although their label is age-adjusted: a label gone wrong."""
    store_videos(db, images, world, channels(60, 3))
    label(db)
    with db.connection() as connection:
        borders.judge(borders.look(connection, ["tech"], SEEN), "measure")
    change(db, "update thumbrank.training_pairs set outcome = case when age_gap_hours > 0 then 1 else 0 end")
    with pytest.raises(
        BorderError, match=r"tech has a label that is a clock, as the newer video wins 100\.0% of the pairs"
    ):
        load_dataset(db, ["tech"], ENCODERS)


def test_the_guide_s_label_may_be_a_clock_for_who_chose_it(db, images, world):
    store_videos(db, images, world, channels(60, 3))
    label(db, label="views_per_hour")
    with db.connection() as connection:
        borders.judge(borders.look(connection, ["tech"], SEEN), "measure")


def test_niches_with_different_labels_are_not_trained_together(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000)]}, niche="tech")
    store_videos(db, images, world, {B: [(10, 5_000), (12, 6_000)]}, niche="news")
    label(db, "tech")
    label(db, "news", label="views_per_hour")
    with pytest.raises(BorderError, match="tech has the label age_adjusted beside news views_per_hour"):
        load_dataset(db, ["tech", "news"], ENCODERS)
