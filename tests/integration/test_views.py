"""The documented views and the read-only role, as docs/data-out.md describes them."""

import hashlib
import re
import threading
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from tests.integration.data_out import API, AS_OF, EXPIRES, INVENTED, OWN, TITLES, fill
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import migrations_folder, project_root
from thumbrank_core.retention.removal import forget, stores_of
from thumbrank_core.settings import Settings
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.migrate import migrate

VIEWS = ("videos", "pairs", "channels_with_baselines", "owner_reach")
READER = "thumbrank_reader"
SEVEN_DAYS = timedelta(days=7)


@pytest.fixture
def known(db):
    with db.connection() as connection:
        fill(connection)
    return db


@pytest.fixture
def superuser(postgres):
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        yield connection


def rows(db, statement, *parameters):
    with db.connection() as connection:
        return connection.cursor(row_factory=dict_row).execute(statement, parameters or None).fetchall()


def one(db, statement, *parameters):
    (row,) = rows(db, statement, *parameters)
    return row


def test_a_video_has_one_row_with_its_newest_counts_its_first_picture_and_its_label(known):
    assert one(known, "select * from thumbrank.videos where video_id = 'own-05'") == {
        "niche": "tech",
        "channel_id": OWN,
        "channel_title": 'The "Own", Ltd.',
        "subscriber_count": 5000,
        "split": "train",
        "video_id": "own-05",
        "title": TITLES[5],
        "published_at": AS_OF - timedelta(days=25),
        "duration": 253,
        "kind": "upload",
        "live_broadcast": "none",
        "category_id": "28",
        "language": "en-GB",
        "made_for_kids": False,
        "observed_at": AS_OF,
        "view_count": 6000,
        "like_count": 3,
        "comment_count": None,
        "views_per_hour": 10.0,
        "exclusion_reason": None,
        "label": "age_adjusted",
        "label_value": 6.0,
        "label_observed_at": AS_OF,
        "regime": 0,
        "picture_sha256": hashlib.sha256(b"own-05/0").hexdigest(),
        "picture_phash": -5,
        "picture_changed_at": None,
        "source": "import",
        "fetched_at": AS_OF,
        "expires_at": None,
    }
    assert len(rows(known, "select * from thumbrank.videos")) == len(TITLES) + 6


def test_what_is_not_known_of_a_video_is_null_and_not_nought(known):
    left_out = one(known, "select * from thumbrank.videos where video_id = 'own-00'")
    assert (left_out["exclusion_reason"], left_out["label"], left_out["label_value"]) == ("few_views", None, None)
    unseen = one(known, "select * from thumbrank.videos where video_id = 'game-01'")
    assert {unseen[c] for c in ("observed_at", "view_count", "views_per_hour", "picture_sha256", "label", "split")} == {
        None
    }
    soon = one(known, "select * from thumbrank.videos where video_id = 'game-00'")
    assert (soon["view_count"], soon["views_per_hour"]) == (7, None)  # published after its counts


def test_a_row_expires_with_the_first_of_its_parts(known):
    assert one(known, "select * from thumbrank.videos where video_id = 'api-00'")["expires_at"] == EXPIRES
    rows(known, "update thumbrank.picture_versions set expires_at = %s returning 1", EXPIRES - SEVEN_DAYS)
    assert one(known, "select * from thumbrank.videos where video_id = 'api-00'")["expires_at"] == EXPIRES - SEVEN_DAYS


def test_a_pair_has_public_ids_its_period_and_the_source_that_binds_most(known):
    found = rows(known, "select * from thumbrank.pairs where niche = 'tech' order by a_video_id")
    assert [(r["a_video_id"], r["b_video_id"], r["period"], r["source"]) for r in found] == [
        ("api-00", "api-01", "across", "youtube_api"),
        ("own-02", "own-01", "later", "import"),
        ("own-11", "own-10", "across", "import"),
        ("sim-00", "sim-01", "across", "simulator"),
    ]
    rows(
        known,
        "update thumbrank.thumbnails set published_at = published_at - interval '1 day' where video_id = 'sim-01' returning 1",
    )
    assert found[1] == {
        "niche": "tech",
        "label": "age_adjusted",
        "channel_id": OWN,
        "split": "train",
        "a_video_id": "own-02",
        "b_video_id": "own-01",
        "outcome": 1.0,
        "margin": 0.25,
        "soft_target": pytest.approx(0.1),
        "age_gap_hours": -24.0,
        "weight": 0.5,
        "period": "later",
        "source": "import",
    }
    assert one(known, "select period from thumbrank.pairs where a_video_id = 'sim-00'") == {"period": "earlier"}


def test_one_niche_s_pairs_are_read_from_its_own_partition(known):
    plan = rows(known, "explain select * from thumbrank.pairs where niche = 'tech'")
    scanned = {name for line in plan for name in re.findall(r"training_pairs_[a-z]+", line["QUERY PLAN"])}
    assert scanned == {"training_pairs_tech"}


def test_a_channel_has_its_baseline_or_none(known):
    own = one(known, "select * from thumbrank.channels_with_baselines where channel_id = %s", OWN)
    assert own == {
        "niche": "tech",
        "channel_id": OWN,
        "channel_title": 'The "Own", Ltd.',
        "split": "train",
        "subscriber_count": 5000,
        "video_count": 40,
        "view_count": 9000,
        "country": "DE",
        "made_for_kids": None,
        "baseline_videos": 11,
        "median_log_views_per_hour": 1.5,
        "mad_log_views_per_hour": 0.25,
        "mean_views_per_hour": 7.0,
        "sd_views_per_hour": 2.0,
        "growth": 0.5,
        "baseline_from": AS_OF - timedelta(days=31),
        "baseline_until": AS_OF - timedelta(days=21),
        "baseline_as_of": AS_OF,
        "source": "import",
        "fetched_at": AS_OF,
        "expires_at": None,
    }
    other = one(known, "select * from thumbrank.channels_with_baselines where channel_id = %s", INVENTED)
    assert (other["source"], other["baseline_videos"], other["growth"]) == ("simulator", None, None)


def test_what_was_forgotten_is_in_no_view(known, tmp_path):
    images = ImageStore(tmp_path / "images")
    stores = stores_of(Settings(THUMBRANK_HOME=tmp_path), images)
    forget(known, stores, "unaudited", "video", "own-02")
    forget(known, stores, "unaudited", "channel", API)
    for view in VIEWS:
        text = str(rows(known, f"select * from thumbrank.{view}"))
        assert "own-02" not in text
        assert API not in text
        assert "own-01" in text or view == "channels_with_baselines" or view == "pairs"
    assert len(rows(known, "select * from thumbrank.pairs")) == 2


def relations(db):
    return rows(
        db,
        "select c.relname, c.relkind from pg_class c where relnamespace = 'thumbrank'::regnamespace and relkind in ('r', 'p', 'v', 'S')",
    )


def test_the_reader_reads_the_four_views_and_nothing_else(known):
    for relation in relations(known):
        may = one(
            known,
            "select has_table_privilege(%s, %s::regclass, 'select') as reads, "
            "has_table_privilege(%s, %s::regclass, 'insert, update, delete, truncate, references, trigger') as writes",
            *(READER, f"thumbrank.{relation['relname']}") * 2,
        )
        assert may == {"reads": relation["relname"] in VIEWS, "writes": False}, relation
    assert one(known, "select has_schema_privilege(%s, 'thumbrank', 'create') as may", READER) == {"may": False}
    assert one(
        known, "select rolcanlogin, rolsuper, rolcreaterole, rolbypassrls from pg_roles where rolname = %s", READER
    ) == {
        "rolcanlogin": False,
        "rolsuper": False,
        "rolcreaterole": False,
        "rolbypassrls": False,
    }


def test_the_reader_is_refused_by_the_server_itself(known):
    for view in VIEWS:
        with known.connection() as connection:
            connection.execute(f"set local role {READER}")
            count = connection.execute(f"select count(*) from thumbrank.{view}").fetchone()[0]
            assert (count > 0) == (view != "owner_reach")
    for statement in (
        "select * from thumbrank.tombstones",
        "select * from thumbrank.thumbnails",
        "select * from thumbrank.reach_daily",
        "select * from thumbrank.latest_snapshots",
        "delete from thumbrank.videos",
        "update thumbrank.channels_with_baselines set growth = 1",
        "insert into thumbrank.owner_reach (owner_id) values ('x')",
        "create table thumbrank.mine (x int)",
    ):
        refusals = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
        with pytest.raises(refusals), known.connection() as connection:
            connection.execute(f"set local role {READER}")
            connection.execute(statement)


def test_an_owner_s_figures_are_seen_by_those_they_were_granted_to(known, superuser):
    role = sql.Identifier(f"thumbrank_owner_{OWN}")
    assert [r["owner_id"] for r in rows(known, "select * from thumbrank.owner_reach order by 1 desc")] == [
        OWN,
        "UCother-----------------",
    ]
    superuser.execute(sql.SQL("create role {} nologin").format(role))
    superuser.execute("create role test_ana login in role thumbrank_reader")
    try:
        # What spies use: a condition of their own, so cheap that it is tried first, that tells of every row it sees.
        with known.connection() as connection:
            connection.execute(
                "create function public.tell(text) returns boolean language plpgsql cost 0.0000001 "
                "as $$ begin raise notice '%', $1; return true; end $$"
            )
        seen, told = [], []
        for step in (None, "grant {} to test_ana"):
            if step:
                superuser.execute(sql.SQL(step).format(role))
            with known.connection() as connection:
                connection.execute("set local role test_ana")
                connection.add_notice_handler(lambda notice: told.append(notice.message_primary))
                seen.append(
                    connection.execute("select * from thumbrank.owner_reach where public.tell(owner_id)").fetchall()
                )
        assert set(told) == {OWN}
        assert [[row[0] for row in found] for found in seen] == [[], [OWN]]
        assert seen[1][0][5:7] == (1000, 0.05)
    finally:
        superuser.execute("drop role test_ana")
        superuser.execute(sql.SQL("drop role {}").format(role))


@pytest.fixture
def without_reader(superuser):
    """The server as if it had never seen the role; grants in other databases hang on its number and stay."""
    superuser.execute(f"alter role {READER} rename to {READER}_away")
    yield
    superuser.execute(f"alter role {READER}_away rename to {READER}")


@pytest.fixture
def plain_owner(postgres, superuser, without_reader):
    """The URL of a database whose owner may do nothing on the server."""
    superuser.execute("create role test_plain login password 'x'")
    superuser.execute("create database test_plain owner test_plain")
    yield re.sub(r"//[^@]*@", "//test_plain:x@", postgres.url("test_plain"))
    superuser.execute("drop database test_plain with (force)")
    superuser.execute("drop role test_plain")


def test_an_owner_who_may_not_create_roles_migrates_without_it_and_is_told(plain_owner, superuser):
    notices = []
    with psycopg.connect(plain_owner) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        connection.rollback()
        assert len(migrate(connection, migrations_folder())) > 4
        connection.commit()
        assert any("thumbrank_reader is missing" in notice for notice in notices)
        assert connection.execute("select count(*) from thumbrank.videos").fetchone() == (0,)
    # Somebody who may runs what the page says, and the reader reads.
    superuser.execute(f"create role {READER} nologin")
    try:
        with psycopg.connect(plain_owner) as connection:
            for statement in blocks("sql grants")[0].split(";")[1:-1]:
                connection.execute(statement)
            assert connection.execute(
                "select has_table_privilege(%s, 'thumbrank.videos', 'select')", (READER,)
            ).fetchone() == (True,)
    finally:
        with psycopg.connect(plain_owner) as connection:
            connection.execute(f"revoke all on all tables in schema thumbrank from {READER}")
            connection.execute(f"revoke all on schema thumbrank from {READER}")
        superuser.execute(f"drop role {READER}")


def test_an_owner_who_may_not_create_roles_grants_to_the_one_that_is_there(superuser, postgres):
    superuser.execute("create role test_plain login password 'x'")
    superuser.execute("create database test_plain owner test_plain")
    try:
        url = re.sub(r"//[^@]*@", "//test_plain:x@", postgres.url("test_plain"))
        migrate(url, migrations_folder())
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "select has_table_privilege(%s, 'thumbrank.pairs', 'select')", (READER,)
            ).fetchone()
        assert found == (True,)
    finally:
        superuser.execute("drop database test_plain with (force)")
        superuser.execute("drop role test_plain")


def test_databases_of_one_server_share_the_role_also_when_migrated_at_the_same_moment(
    superuser, postgres, without_reader
):
    names = [f"test_same_{number}" for number in range(3)]
    urls = [postgres.create_database(name) for name in names]
    errors, barrier = [], threading.Barrier(len(urls))

    def run(url):
        barrier.wait()
        try:
            migrate(url, migrations_folder())
        except (ThumbrankError, psycopg.Error) as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(url,)) for url in urls]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        for url in urls:
            with psycopg.connect(url) as connection:
                assert connection.execute(
                    "select has_table_privilege(%s, 'thumbrank.videos', 'select')", (READER,)
                ).fetchone() == (True,)
    finally:
        for name in names:
            superuser.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        superuser.execute(f"drop role if exists {READER}")


def test_a_data_api_s_roles_see_nothing_even_where_defaults_open_everything(empty_database_url, superuser):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("create role anon nologin")
        try:
            connection.execute("alter default privileges grant all on tables to anon")
            connection.execute("alter default privileges grant usage on schemas to anon")
            migrate(connection, migrations_folder())
            for view in VIEWS:
                found = connection.execute(
                    "select has_schema_privilege('anon', 'thumbrank', 'usage'), has_table_privilege('anon', %s, 'select')",
                    (f"thumbrank.{view}",),
                ).fetchone()
                assert found == (False, False)
        finally:
            connection.execute("drop owned by anon")
            connection.execute("drop role anon")


PAGE = (project_root() / "docs" / "data-out.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, flags=re.S | re.M)


@pytest.mark.parametrize("query", blocks("sql"))
def test_the_page_s_queries_run_as_the_reader(known, query):
    rows(known, "update thumbrank.channel_baselines set video_count = 20 returning 1")
    rows(known, "update thumbrank.channels set split = 'test' returning 1")
    with known.connection() as connection:
        connection.execute(f"set local role {READER}")
        assert connection.execute(query).fetchall()


def test_the_page_s_figure_of_newer_wins_is_the_one_by_hand(known):
    with known.connection() as connection:
        found = {row[0]: row[1:] for row in connection.execute(blocks("sql")[1]).fetchall()}
    assert len(blocks("sql")) == 3
    assert found == {"train": (1, 1, 0.0), "test": (1, 1, 1.0), "validation": (1, 1, 1.0)}


def test_the_page_s_roles_can_be_made(known, superuser):
    statements = [s for block in [*blocks("sql role"), *blocks("sql owner")] for s in block.split(";") if s.strip()]
    try:
        for statement in statements:
            superuser.execute(statement)
        found = superuser.execute(
            "select pg_has_role('ana', 'thumbrank_reader', 'usage') and pg_has_role('ana', rolname, 'usage') "
            "from pg_roles where rolname like 'thumbrank_owner%'"
        ).fetchall()
        assert found == [(True,)]
    finally:
        superuser.execute('drop role if exists ana; drop role if exists "thumbrank_owner_UCxxxxxxxxxxxxxxxxxxxxxx"')


@pytest.mark.parametrize("view", VIEWS)
def test_the_page_says_what_the_database_says(db, view):
    stored = rows(
        db,
        "select attname, col_description(attrelid, attnum) as says from pg_attribute "
        "where attrelid = %s::regclass and attnum > 0 order by attnum",
        f"thumbrank.{view}",
    )
    section = re.findall(rf"^### thumbrank\.{view}\n(.*?)^##", PAGE, flags=re.S | re.M)[0]
    written = re.findall(r"^\| (\w+) \| \w+ \| (.*) \|$", section, flags=re.M)[1:]
    assert [(name, says.replace("\\|", "|")) for name, says in written] == [(r["attname"], r["says"]) for r in stored]
    assert one(db, "select obj_description(%s::regclass) as says", f"thumbrank.{view}")["says"] in section
    assert not {r["attname"] for r in stored} & {"video_key", "channel_key", "a_key", "b_key"}
