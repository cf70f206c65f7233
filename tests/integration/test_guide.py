"""docs/guide.md, row by row: every row names a function of guide_rows*.py, every function has a row, and it is so.

The rows of one house train once and evaluate once; what each looks at is in its own function.
"""

import inspect
import re
from collections import Counter

import pytest

from tests.integration import (
    guide_rows_after,
    guide_rows_data,
    guide_rows_going_on,
    guide_rows_model,
    guide_rows_quality,
    guide_rows_training,
)
from tests.integration.conftest import store_videos
from tests.integration.guide_rows import PAGE, SEED, TESTS, rows, squeezed
from tests.integration.guide_rows_house import fill, trained
from tests.integration.test_labels import label
from thumbrank_core.policy import load_policy
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore

MODULES = (
    guide_rows_data,
    guide_rows_quality,
    guide_rows_model,
    guide_rows_training,
    guide_rows_going_on,
    guide_rows_after,
)
ROWS = rows()
VERDICTS = ("same", "nearest", "different")
UNQUOTED = (
    "Complete guide for training",
    "YouTube Data API v3",
    "This will:",
    "Training Configuration:",
    "Expected Training Time:",
    "TensorBoard:",
    "Weights & Biases:",
    "Console Output:",
    "Target Metrics:",
    "Inclusion Criteria:",
    "Exclusion Criteria:",
    "Architecture:",
    "Epoch ",  # between the first and the last line of its example
    "For training issues:",
    "Ready to train",
)
"""Lines of the guide that only lead over to the next one."""


@pytest.fixture(scope="module")
def house(postgres, migrated_template, world, tmp_path_factory):
    """Imported, labelled, embedded, and trained on with recipe `guide`."""
    url = postgres.create_database("guide_house", template=migrated_template)
    home = tmp_path_factory.mktemp("guide") / "home"
    with Database(url) as db:
        yield trained(fill(url, home, db, world), home.parent / "nobody")


@pytest.fixture(scope="module")
def evaluated(house):
    """What `thumbrank evaluate` said of the guide's file."""
    done = house.thumbrank("evaluate", "--model", house.state)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def collected(postgres, migrated_template, simulator, tmp_path_factory):
    """The database after `thumbrank collect --niche tech` in profile `guide`, and what it said and asked."""
    url = postgres.create_database("guide_collected", template=migrated_template)
    with Database(url) as db:
        yield guide_rows_data.collect(db, url, simulator, tmp_path_factory.mktemp("collected"))


@pytest.fixture(scope="module")
def paired(postgres, migrated_template, world, tmp_path_factory):
    """Two channels with the guide's labels and pairs; the database."""
    url = postgres.create_database("guide_paired", template=migrated_template)
    with Database(url) as db:
        store_videos(db, ImageStore(tmp_path_factory.mktemp("paired")), world, guide_rows_data.VIEWS)
        label(db, policy=load_policy(profile="guide"))
        yield db


@pytest.fixture(scope="module")
def graph():
    """The whole code location: assets, checks, schedules, sensors."""
    from thumbrank_dagster.build import build_defs

    return build_defs()


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """200 epochs in the guide's own calls; see guide_rows_going_on."""
    return guide_rows_going_on.run_200_epochs(tmp_path_factory.mktemp("long"))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes that torchrun started say of themselves."""
    return guide_rows_going_on.run_two_processes(tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.id, marks=[pytest.mark.slow] if row.id in TESTS and TESTS[row.id].slow else [])
        for row in ROWS
    ],
)
def test_row(row, request):
    assert row.id in TESTS, f"row {row.id} of docs/guide.md has no function in guide_rows*.py"
    function = TESTS[row.id].run
    assert row.test == function.__name__, "the page names its test"
    wanted = inspect.signature(function).parameters
    function(**{name: row if name == "row" else request.getfixturevalue(name) for name in wanted})


def test_every_function_has_its_row_and_every_row_its_own_id():
    assert [name for name, times in Counter(row.id for row in ROWS).items() if times > 1] == []
    assert sorted(TESTS.keys() - {row.id for row in ROWS}) == []
    assert sorted(name for module in MODULES for name in vars(module) if name.startswith("test_")) == []
    assert len(ROWS) > 150


def test_every_row_says_same_nearest_or_different_and_the_last_two_why():
    for row in ROWS:
        [(word, _, reason)] = re.findall(r"^(\w+)([^:;,]*[:;,]?)(.*)", row.verdict)
        assert word in VERDICTS, row.id
        assert word == "same" or len(reason.split()) >= 3, f"{row.id} does not say why"
        assert row.quotes, f"{row.id} quotes nothing of the guide"


def test_every_link_of_the_page_is_a_page_beside_it():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).is_file(), target


@pytest.mark.real
def test_the_page_quotes_the_guide_and_leaves_nothing_of_it_out():
    written = SEED.read_text(encoding="utf-8")
    quotes = [squeezed(quote) for row in ROWS for quote in row.quotes]
    assert [quote for quote in quotes if quote not in squeezed(written)] == []
    code = re.split(r"^```.*$", written, flags=re.MULTILINE)  # a line that begins with # is a heading outside of it
    lines = [line for part in code[::2] for line in part.splitlines() if not line.startswith("#")]
    lines += [line for part in code[1::2] for line in part.splitlines()]
    said = [squeezed(line).lstrip("-# ") for line in lines]
    assert [line for line in said if re.search(r"\w", line) and not _covered(line, quotes)] == []


def _covered(line, quotes):
    return line.startswith(UNQUOTED) or any(quote in line or line in quote for quote in quotes)
