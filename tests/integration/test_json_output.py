"""`--json`: one document on stdout and nothing else there, with the same figures as the table for people."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.integration import reaching
from tests.integration.conftest import store_videos
from tests.integration.promoting import Shop, empty_mlflow, verdict
from tests.integration.test_labels import label
from thumbrank_core.cli import app
from thumbrank_core.paths import migrations_folder
from thumbrank_core.registry import Registry
from thumbrank_core.store.migrate import read_folder


@pytest.fixture
def document(tmp_path, database_url, simulator, monkeypatch):
    for name, value in (
        ("DATABASE_URL", database_url),
        ("THUMBRANK_HOME", str(tmp_path)),
        ("THUMBRANK_ENCODERS", "tiny"),
        ("YOUTUBE_API_KEY", "simulator"),
        ("YOUTUBE_API_ENDPOINT", simulator.endpoint),
    ):
        monkeypatch.setenv(name, value)
    return asked


def asked(*words, status=0):
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def test_a_forecast_says_what_would_be_spent_and_sends_nothing(document, simulator):
    before = simulator.attempts()
    found = document("collect", "--niche", "tech", "--dry-run")
    assert simulator.attempts() == before
    assert (found["collected"], found["pictures"]) == (None, None)
    forecast = found["forecast"]
    assert (forecast["niche"], forecast["resumes"]) == ("tech", False)
    assert [row["stage"] for row in forecast["stages"]][:2] == ["discover", "vet"]
    buckets = {row["bucket"]: row for row in forecast["buckets"]}
    assert 0 < buckets["default"]["expected"] <= buckets["default"]["upper"] <= buckets["default"]["standing"]["limit"]
    assert forecast["resets_at"].endswith("Z")


def test_a_collection_says_what_came_and_the_quota_says_what_it_cost(document, simulator):
    before = simulator.attempts()["default"]
    found = document("collect", "--niche", "gaming")
    spent = simulator.attempts()["default"] - before
    assert found["collected"]["state"] == "complete"
    assert found["collected"]["units"]["default"] == spent
    assert found["collected"]["videos"] > 0 < found["pictures"]["stored"]
    quota = document("quota")
    [bucket] = [row for row in quota["buckets"] if row["bucket"] == "default"]
    assert (bucket["limit"], bucket["spent"]) == (10_000, spent)
    assert bucket["niches"] == [{"niche": "gaming", "spent": spent, "reserved": 0, "exhausted_at": None}]
    assert quota["resets_at"].endswith("Z")


def test_the_schema_and_what_is_embedded(document, db, images, world):
    store_videos(db, images, world, {"UCtest0000000000000000-0": [(10 + d, 5_000 + d) for d in range(4)]})
    label(db, "tech")
    migrations = document("db", "status")["migrations"]
    assert [f"{row['version']}_{row['name']}.sql" for row in migrations] == [
        file.file_name for file in read_folder(migrations_folder())
    ]
    assert {row["state"] for row in migrations} == {"applied"}
    found = document("embeddings", "status")
    assert (found["encoders"], found["vectors"], found["readings"]) == ("tiny", [], [])
    [tech] = [row for row in found["coverage"] if row["niche"] == "tech"]
    assert (tech["pictures_wanted"], tech["pictures"]) == (4, 0)


def test_owners_and_what_is_stored_of_them(google, reach_url, reach_db, tmp_path, monkeypatch, owned_world):
    monkeypatch.setenv("DATABASE_URL", reach_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))
    assert asked("reach", "status") == {"owners": []}
    reach = reaching.reach_of(google, tmp_path, reach_db)
    owner_id = reaching.log_in(reach, owned_world.channels[0].id).owner_id
    [owner] = asked("reach", "status")["owners"]
    assert (owner["owner_id"], owner["token_here"], owner["stored"]["days"]) == (owner_id, True, 0)
    assert owner["stored"]["first_day"] is None


@pytest.fixture
def shop(db, tmp_path, tmp_path_factory):
    return Shop.opened(db, tmp_path, empty_mlflow(tmp_path_factory.mktemp("mlflow")))


def test_decisions_tell_who_serves_and_who_would(document, shop):
    shop.make(1, said=verdict())
    dry = document("promote", "--dry-run")
    told = {name: dry[name] for name in ("kind", "changed", "dry_run", "champion", "champion_before", "challenger")}
    assert told == {
        "kind": "promoted",
        "changed": True,
        "dry_run": True,
        "champion": 1,
        "champion_before": None,
        "challenger": 1,
    }
    assert dry["verdict"]["status"] == "pass" and all(row["passed"] for row in dry["verdict"]["conditions"])
    assert shop.champion is None
    assert document("promote")["dry_run"] is False
    shop.make(2, said=verdict(1, status="refused"))
    refused = document("promote", status=1)
    assert (refused["kind"], refused["changed"], refused["champion"]) == ("refused", False, 1)
    assert document("promote", "--force", "--why", "we must")["kind"] == "forced"
    back = document("rollback", "--why", "it is bad")
    assert (back["kind"], back["champion"], back["champion_before"]) == ("rolled_back", 1, 2)
    assert (back["challenger"], back["verdict"]) == (None, None)


def test_an_evaluation_has_its_figures_and_no_single_owner(house, house_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", house_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(house.settings.home))
    version = Registry(house.settings.tracking_uri).version(1)
    found = asked("evaluate", "--model", str(version.folder), "--data", "tech")
    assert (found["fingerprint"], found["niches"]) == (version.fingerprint, ["tech"])
    assert found["verdict"]["status"] == found["figures"]["verdict"] == "refused"
    assert found["figures"]["n_pairs"] == found["figures"]["sets"]["unseen"]["n_pairs"] > 0
    assert found["report"].endswith("-evaluated/index.html")
    assert "owner_id" not in json.dumps(found)


def test_what_was_exported_and_what_must_go(house, house_url, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", house_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(house.settings.home))
    found = asked("export-data", "--niche", "tech", "--out", str(tmp_path / "out"))
    assert found["folder"] == str(tmp_path / "out")
    assert found["niches"] == [json.loads((tmp_path / "out" / "tech" / "manifest.json").read_text())]
    with house.db.connection() as connection:
        connection.execute("update thumbrank.thumbnails set expires_at = '2020-01-01'")
    dry = asked("expire")
    assert (dry["action"], dry["dry_run"]) == ("expire", True)
    assert dry["counts"]["thumbnails"] > 0
    wet = asked("expire", "--yes")
    assert (wet["dry_run"], wet["counts"]["thumbnails"]) == (False, dry["counts"]["thumbnails"])
    assert not any(asked("expire")["counts"].values())


def test_an_error_leaves_stdout_empty(document):
    done = CliRunner().invoke(app, ["collect", "--niche", "cooking", "--json"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1


def test_a_process_prints_nothing_else_either(document, tmp_path):
    """What libraries print at import or at exit would not be seen inside of this process."""
    code = "from thumbrank_core.cli import app; app()"
    for words in (["db", "status"], ["quota"], ["embeddings", "status"], ["plan"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, "--json"], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
