"""Promotion and rollback on a real Postgres and a real MLflow registry: who serves, and what is written down of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import psycopg
import pytest
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from tests.integration.promoting import Shop, empty_mlflow, verdict
from thumbrank_core import promotion
from thumbrank_core.cli import app
from thumbrank_core.commands.promotion import account
from thumbrank_core.model.bundle import BundleError
from thumbrank_core.promotion import PromotionError, Service, earlier, promote
from thumbrank_core.registry import Registry, RegistryError
from thumbrank_core.store.database import Database
from thumbrank_dagster.build import build_defs


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    return empty_mlflow(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def shop(db, tmp_path, mlflow):
    return Shop.opened(db, tmp_path, mlflow)


def test_a_passed_challenger_serves_and_the_row_holds_its_figures(shop):
    shop.make(1, said=verdict())
    done = shop.promote(1, None)
    assert (done.champion, done.kind, done.changed) == (1, "promoted", True)
    assert done.says.startswith("Earned its deployment")
    assert shop.champion == 1
    [(kind, version, before, fingerprint, written, why, who)] = shop.rows(
        "kind, version, from_version, fingerprint, verdict, why, who"
    )
    assert (kind, version, before, who) == ("promoted", 1, None, "me")
    assert fingerprint == shop.registry.version(1).fingerprint
    assert why == written["sentence"] == done.says
    figures = {condition["name"]: (condition["value"], condition["floor"]) for condition in written["conditions"]}
    assert figures["beats a coin"] == (0.644, 0.5)


def test_promoting_the_champion_again_changes_nothing_and_says_since_when(shop):
    shop.line(1)
    done = shop.promote(1, None)
    assert (done.kind, done.changed, done.champion) == ("unchanged", False, 1)
    assert done.says.startswith("Version 1 is the champion already, since 20")
    assert len(shop.rows()) == 1


def test_a_refusal_is_a_row_with_its_numbers_and_the_champion_stays(shop):
    shop.line(1)
    shop.make(2, said=verdict(1, status="refused"))
    done = shop.promote(2, 1)
    assert (done.kind, done.changed, done.champion, shop.champion) == ("refused", False, 1, 1)
    assert done.says.startswith("Not deployed: ")
    kind, version, before, written, why = shop.rows("kind, version, from_version, verdict, why")[-1]
    assert (kind, version, before, why) == ("refused", 2, 1, done.says)
    [failed] = [condition for condition in written["conditions"] if not condition["passed"]]
    assert (failed["name"], failed["value"]) == ("beats the clock", 0.12)
    assert written["against"] == 1


def test_without_a_verdict_nothing_is_promoted_not_even_by_force(shop):
    shop.make(1)
    for more in ({}, {"force": True, "why": "now"}):
        with pytest.raises(
            PromotionError, match=r"Version 1 has no verdict yet: run `thumbrank evaluate` or evaluation_report first\."
        ):
            shop.promote(1, None, **more)
    assert (shop.champion, shop.rows()) == (None, [])


@pytest.mark.parametrize("expected", [None, 1])
def test_a_verdict_against_another_champion_is_out_of_date(shop, expected):
    shop.line(1)
    shop.make(2, said=verdict(None))
    done = shop.promote(2, expected)
    assert (done.kind, shop.champion) == ("refused", 1)
    assert "was none and is version 1 now; run `thumbrank evaluate` or evaluation_report again." in done.says
    assert shop.rows("kind, why")[-1] == ("refused", done.says)


def test_a_model_of_fewer_niches_needs_force(shop):
    shop.line(1)
    shop.make(2, niches=("news",), said=verdict(1))
    assert shop.promote(2, 1).says == "Not deployed: the champion (version 1) also covers tech."
    done = shop.promote(2, 1, force=True, why="we left tech")
    assert (done.kind, done.champion, shop.champion) == ("forced", 2, 2)
    assert "(we left tech)" in done.says
    assert shop.rows("kind, version, from_version, why")[-1] == ("forced", 2, 1, "we left tech")


def test_a_forced_promotion_is_audited_and_the_version_says_so(shop):
    shop.make(1, said=verdict(status="refused"))
    assert shop.promote(1, None, force=True, why=" the board asked ").changed
    [(kind, why, status)] = shop.rows("kind, why, verdict ->> 'status'")
    assert (kind, why, status) == ("forced", "the board asked", "refused")
    tags = shop.registry._registered(1).tags
    assert (tags["gate"], tags["forced_why"]) == ("forced", "the board asked")


@pytest.mark.parametrize("why", [None, "", "  "])
def test_a_forced_promotion_needs_a_reason(shop, why):
    shop.make(1, said=verdict(status="refused"))
    with pytest.raises(PromotionError, match=r"needs a reason.*add --why"):
        shop.promote(1, None, force=True, why=why)
    assert (shop.champion, shop.rows()) == (None, [])


def test_force_does_not_overrule_somebody_else_s_promotion(shop):
    shop.line(1, 2)
    shop.make(3, said=verdict(1, status="refused"))
    with pytest.raises(PromotionError, match="The champion is version 2 now and was version 1 when"):
        shop.promote(3, 1, force=True, why="now")
    assert (shop.champion, len(shop.rows())) == (2, 2)


@pytest.mark.parametrize("more", [{}, {"force": True, "why": "now"}])
def test_a_damaged_bundle_does_not_serve_by_force_either(shop, more):
    shop.make(1, said=verdict())
    shop.spoil(1)
    with pytest.raises(BundleError, match="sha256 differs"):
        shop.promote(1, None, **more)
    assert (shop.champion, shop.rows()) == (None, [])


def test_a_folder_with_another_model_in_it_does_not_serve(shop):
    shop.make(1, said=verdict())
    shop.make(2)
    for name in ("model.safetensors", "bundle.json"):
        (shop.folder(1) / name).write_bytes((shop.folder(2) / name).read_bytes())
    with pytest.raises(RegistryError, match="holds other weights than version 1 was registered with"):
        shop.promote(1, None)


def test_where_mlflow_fails_nothing_is_written(shop, monkeypatch):
    shop.make(1, said=verdict())

    def broken(self, alias, number):
        raise MlflowException("no server")

    monkeypatch.setattr(Registry, "point", broken)
    with pytest.raises(MlflowException):
        shop.promote(1, None)
    assert (shop.champion, shop.rows()) == (None, [])


def test_a_dry_run_decides_and_changes_nothing(shop):
    shop.line(1, 2)
    shop.make(3, said=verdict(2))
    before = shop.rows()
    assert shop.promote(3, 2, dry_run=True).kind == "promoted"
    assert shop.promote(3, 1, dry_run=True).kind == "refused"
    assert shop.rollback(2, dry_run=True).champion == 1
    assert (shop.champion, shop.rows()) == (2, before)


# Two at once


def at_once(url, shop, *versions):
    """Promote these versions at the same moment, each as a process of its own would: own connections, own registry."""
    barrier = threading.Barrier(len(versions))

    def one(version):
        with Database(url) as database:
            registry = Registry(shop.settings.tracking_uri)
            said = registry.verdict(version)
            assert said is not None
            barrier.wait()
            return promote(database, registry, version=version, expected=said.against, who=f"promoter of {version}")

    with ThreadPoolExecutor(len(versions)) as pool:
        return list(pool.map(one, versions))


def test_of_two_versions_at_once_one_wins_and_the_other_is_told(shop, database_url):
    shop.line(1)
    for number in (2, 3):
        shop.make(number, said=verdict(1))
    found = at_once(database_url, shop, 2, 3)
    [won] = [done for done in found if done.changed]
    [lost] = [done for done in found if not done.changed]
    assert won.champion == lost.champion == shop.champion
    assert (
        f"the champion was version 1 and is version {won.champion} now; run `thumbrank evaluate` or evaluation_report again"
        in lost.says
    )
    assert sorted(kind for kind, *_ in shop.rows()) == ["promoted", "promoted", "refused"]


def test_of_four_promotions_of_one_version_one_moves_it_and_the_others_are_told_who(shop, database_url):
    shop.line(1)
    shop.make(2, said=verdict(1))
    found = at_once(database_url, shop, 2, 2, 2, 2)
    assert sorted(done.kind for done in found) == ["promoted", "unchanged", "unchanged", "unchanged"]
    assert {done.says.partition(" by ")[2] for done in found if not done.changed} == {"promoter of 2."}
    assert shop.rows() == [("promoted", 1, None), ("promoted", 2, 1)]


def test_one_waits_for_the_other_and_then_sees_what_it_did(shop, database_url):
    shop.line(1)
    for number in (2, 3):
        shop.make(number, said=verdict(1))
    with psycopg.connect(database_url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("select pg_advisory_xact_lock(%s)", (promotion._LOCK,))
        waiting = pool.submit(shop.promote, 2, 1)
        blocked = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        while other.execute(blocked).fetchone() == (0,):
            assert not waiting.done()
        shop.registry.point("champion", 3)
        other.commit()
        done = waiting.result(timeout=30)
    assert (done.kind, shop.champion) == ("refused", 3)
    assert "is version 3 now" in done.says


def test_one_that_does_not_end_is_said_in_one_sentence(shop, database_url, monkeypatch):
    monkeypatch.setattr(promotion, "PATIENCE_SECONDS", 0.2)
    shop.make(1, said=verdict())
    with psycopg.connect(database_url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (promotion._LOCK,))
        with pytest.raises(PromotionError, match="Another promotion has been running"):
            shop.promote(1, None)
    assert shop.promote(1, None).changed


# Rollback


def test_rollback_goes_back_one_champion_at_a_time(shop):
    shop.line(1, 2, 3)
    assert shop.rollback(3).says == "Version 2 serves again in place of version 3."
    assert (shop.rollback(2).champion, shop.champion) == (1, 1)
    with pytest.raises(PromotionError, match="Version 1 is the first champion there was"):
        shop.rollback(1)
    assert shop.rows("kind, version, from_version, why, who")[-2:] == [
        ("rolled_back", 2, 3, "it is bad", "me"),
        ("rolled_back", 1, 2, "it is bad", "me"),
    ]


def test_rollback_to_a_version_that_served_once(shop):
    shop.line(1, 2, 3)
    shop.make(4, said=verdict(3, status="refused"))
    shop.promote(4, 3)
    assert shop.rollback(3, to=1).champion == 1
    assert shop.rollback(1, to=3).champion == 3
    with pytest.raises(PromotionError, match=r"Version 4 was never the champion: name one that was with --to \(1, 2\)"):
        shop.rollback(3, to=4)
    with pytest.raises(PromotionError, match="Version 3 is the champion already"):
        shop.rollback(3, to=3)
    assert shop.champion == 3


def test_a_champion_that_was_set_in_mlflow_itself_may_serve_again(shop):
    shop.make(1)
    shop.registry.point("champion", 1)
    shop.make(2, said=verdict(1))
    assert shop.promote(2, 1).kind == "promoted"
    assert shop.rollback(2, to=1).champion == 1
    assert shop.champion == 1


def test_two_rollbacks_at_once_go_back_once(shop):
    shop.line(1, 2, 3)
    shop.rollback(3)
    with pytest.raises(PromotionError, match="The champion is version 2 now and was version 3 when"):
        shop.rollback(3)
    assert shop.champion == 2


def test_a_rolled_back_version_is_not_promoted_again_by_its_old_verdict(shop):
    shop.line(1, 2)
    shop.rollback(2, why="all beauty is alike")
    refused = shop.promote(2, 1)
    assert refused.kind == "refused"
    assert "me rolled version 2 back on 20" in refused.says
    assert "(all beauty is alike): train another, or add --force --why." in refused.says
    assert shop.promote(2, 1, force=True, why="it was the encoder").kind == "forced"
    assert shop.rollback(2).champion == 1


def test_a_version_that_was_replaced_and_not_rolled_back_is_promoted_by_a_new_verdict(shop):
    shop.line(1, 2)
    shop.registry.record_verdict(1, verdict(2), {"evaluated_at": "2026-11-29T09:00:00+00:00"})
    assert shop.promote(1, 2).kind == "promoted"
    assert shop.champion == 1


def test_rollback_to_a_damaged_bundle_stops_and_the_champion_stays(shop):
    shop.line(1, 2)
    shop.spoil(1)
    with pytest.raises(BundleError, match="sha256 differs"):
        shop.rollback(2)
    assert (shop.champion, len(shop.rows())) == (2, 2)


def test_rollback_needs_a_champion_and_a_reason(shop):
    shop.make(1, said=verdict())
    with pytest.raises(PromotionError, match="nothing to roll back"):
        shop.rollback(None)
    with pytest.raises(PromotionError, match="needs a reason"):
        shop.rollback(1, why=" ")


@pytest.mark.parametrize(
    ("history", "champion", "before"),
    [
        ([], 1, []),
        ([("promoted", 1, None)], 1, []),
        ([("promoted", 1, None), ("promoted", 2, 1), ("forced", 3, 2)], 3, [1, 2]),
        ([("promoted", 1, None), ("promoted", 2, 1), ("rolled_back", 1, 2), ("promoted", 3, 1)], 3, [1]),
        # Promoted before there was a history, and moved in MLflow itself.
        ([("promoted", 5, 4)], 5, [4]),
        ([("promoted", 5, None), ("promoted", 7, 6)], 7, [5, 6]),
        ([("promoted", 5, None)], 9, [5]),
    ],
)
def test_the_champions_before(history, champion, before):
    assert earlier([Service(*row) for row in history], champion) == before


# The command line and Dagster


@pytest.fixture
def thumbrank(shop, database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(shop.home))
    return lambda *words: CliRunner().invoke(app, words)


def test_promote_on_the_command_line_shows_the_verdict_and_what_changes(shop, thumbrank):
    shop.make(1, said=verdict())
    dry = thumbrank("promote", "--dry-run")
    assert dry.exit_code == 0, dry.output
    for text in ("Version 1, measured against no champion: pass", "Shown, ", "beats a coin", "it would be version 1"):
        assert text in dry.output
    assert "The guide's data, minimum: 4,800 of 120,000 thumbnails, 115,200 short" in dry.output
    assert shop.champion is None
    assert "Champion: version 1, before: none." in thumbrank("promote").output
    assert shop.rows("kind, who") == [("promoted", account())]
    assert "as before" in thumbrank("promote").output


def test_a_refusal_on_the_command_line_has_status_1_and_force_needs_why(shop, thumbrank):
    shop.line(1)
    shop.make(2, said=verdict(1, status="refused"))
    refused = thumbrank("promote")
    assert refused.exit_code == 1
    assert "Not deployed: " in refused.output
    assert "what it did not show" in refused.output
    assert "Champion: version 1, as before." in refused.output
    bare = thumbrank("promote", "--force")
    assert bare.exit_code == 2
    assert "a forced promotion needs a reason" in bare.output
    assert "did not show" not in bare.output, "that is said before anything is looked up"
    assert thumbrank("promote", "--force", "--why", "a test").exit_code == 0
    assert shop.champion == 2


def test_rollback_on_the_command_line(shop, thumbrank):
    shop.line(1, 2)
    dry = thumbrank("rollback", "--why", "x", "--dry-run")
    assert "it would be version 1" in dry.output
    done = thumbrank("rollback", "--why", "x")
    assert done.exit_code == 0
    assert "Version 1 serves again in place of version 2." in done.output
    gone = thumbrank("rollback", "--to", "7", "--why", "x")
    assert (gone.exit_code, "Version 7 was never the champion" in gone.output) == (1, True)


def test_the_asset_promotes_and_shows_its_reasons(shop, database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(shop.home))
    job = build_defs().resolve_job_def("train_and_deploy")

    def deployed() -> tuple[dict[str, Any], str]:
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("deployed_model")])
            [event] = result.get_asset_materialization_events()
            return {name: found.value for name, found in event.materialization.metadata.items()}, result.run_id

    shop.make(1, said=verdict())
    metadata, run_id = deployed()
    assert (metadata["champion_version"], metadata["changed"], metadata["decision"]) == (1, True, "promoted")
    assert metadata["because"].startswith("Earned its deployment")
    assert [record.data["condition"] for record in metadata["reasons"].records][:2] == [
        "enough channels",
        "beats a coin",
    ]
    assert shop.rows("who") == [(f"dagster run {run_id}",)]
    shop.make(2, said=verdict(None))
    metadata, _ = deployed()
    assert (metadata["champion_version"], metadata["changed"], metadata["decision"]) == (1, False, "refused")
    assert "run `thumbrank evaluate` or evaluation_report again" in metadata["because"]
