"""What a file of A/B tests says, and the one sentence of each test that cannot be used."""

import csv
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

import thumbrank_core.training
from thumbrank_core.imports.ab import AbError, read_tests
from thumbrank_core.imports.readers import UnreadableFileError
from thumbrank_core.paths import migrations_folder

GOOD = {
    "test_id": "t1",
    "video_id": "aaaaaaaaaaa",
    "variant": "A",
    "picture": "a.jpg",
    "share": "41.2%",
    "outcome": "winner",
    "winner": "yes",
    "first_day": "2026-03-01",
    "last_day": "2026-03-14",
}
OTHER = GOOD | {"variant": "B", "picture": "b.jpg", "share": "58.8%", "winner": "no"}
WON = GOOD | {"share": "58.8%"}
LOST = OTHER | {"share": "41.2%"}


@pytest.fixture
def read(tmp_path):
    def read_rows(*rows, name="tests.csv"):
        path = tmp_path / name
        if name.endswith(".csv"):
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        elif name.endswith(".parquet"):
            pd.DataFrame(rows).to_parquet(path)
        else:
            pd.DataFrame(rows).to_json(path, orient="records", lines=True)
        return read_tests(path)

    return read_rows


@pytest.mark.parametrize("name", ["tests.csv", "tests.parquet", "tests.jsonl"])
def test_a_test_is_read_whatever_the_kind_of_the_file(read, name):
    found = read(WON, LOST, name=name)
    assert (found.rows_read, found.rejected) == (2, [])
    [test] = found.tests
    assert (test.test_id, test.video_id, test.channel_id) == ("t1", "aaaaaaaaaaa", None)
    assert (test.metric, test.outcome) == ("watch_time_share", "winner")
    assert (test.first_day, test.last_day) == (date(2026, 3, 1), date(2026, 3, 14))
    assert [(v.label, v.picture, v.value, v.is_winner) for v in test.variants] == [
        ("A", "a.jpg", pytest.approx(0.588), True),
        ("B", "b.jpg", pytest.approx(0.412), False),
    ]


def test_typed_columns_of_a_data_frame_say_the_same(read):
    day = pd.Timestamp("2026-03-01")
    rows = [
        row | {"test_id": 7.0, "share": share, "winner": won, "first_day": day, "last_day": day.date()}
        for row, share, won in ((WON, 0.588, True), (LOST, 0.412, False))
    ]
    [test] = read(*rows, name="tests.parquet").tests
    assert (test.test_id, test.first_day, test.last_day) == ("7", date(2026, 3, 1), date(2026, 3, 1))
    assert [(v.value, v.is_winner) for v in test.variants] == [
        (pytest.approx(0.588), True),
        (pytest.approx(0.412), False),
    ]


@pytest.mark.parametrize("shares", [("58.8", "41.2"), ("0.588", "0.412"), ("58,8 %", "41,2 %"), ("59%", "42%")])
def test_shares_are_read_as_ratios_however_they_are_written(read, shares):
    [test] = read(WON | {"share": shares[0]}, LOST | {"share": shares[1]}).tests
    assert [v.value for v in test.variants] == pytest.approx([0.588, 0.412], abs=0.01)


@pytest.mark.parametrize("outcome", ["performed_same", "Performed same", "inconclusive"])
def test_a_test_may_end_without_a_winner(read, outcome):
    [test] = read(*(row | {"outcome": outcome, "winner": ""} for row in (WON, LOST))).tests
    assert test.outcome == outcome.lower().replace(" ", "_")
    assert not any(v.is_winner for v in test.variants)


def test_without_marks_the_variant_with_the_highest_share_is_the_winner(read):
    [test] = read(*(row | {"winner": ""} for row in (WON, LOST))).tests
    assert [v.is_winner for v in test.variants] == [True, False]


def test_without_an_outcome_one_mark_says_that_there_was_a_winner(read):
    assert read(*(row | {"outcome": ""} for row in (WON, LOST))).tests[0].outcome == "winner"


def test_a_test_of_titles_has_no_pictures_and_a_test_may_lack_its_values(read):
    rows = [{**row, "title": title, "picture": "", "share": ""} for row, title in ((WON, "One"), (LOST, "Two"))]
    [test] = read(*rows).tests
    assert [(v.picture, v.title, v.value) for v in test.variants] == [(None, "One", None), (None, "Two", None)]


def test_a_column_of_click_rates_is_another_metric(read):
    rows = [{("ctr" if key == "share" else key): value for key, value in row.items()} for row in (WON, LOST)]
    [test] = read(rows[0] | {"ctr": "4.5%"}, rows[1] | {"ctr": "0.9%"}).tests
    assert (test.metric, [v.value for v in test.variants]) == ("ctr", pytest.approx([0.045, 0.009]))


THIRD = LOST | {"variant": "C", "picture": "c.jpg"}
FOURTH = LOST | {"variant": "D", "picture": "d.jpg"}


@pytest.mark.parametrize(
    ("rows", "reason", "sentence"),
    [
        ([WON], "variants", "Test t1: it has 1 variant where a test has 2 or 3."),
        ([WON, LOST, THIRD, FOURTH], "variants", "Test t1: it has 4 variants where a test has 2 or 3."),
        ([WON, LOST | {"variant": "A"}], "variants", "Test t1: two of its variants have one name."),
        ([WON, LOST | {"picture": ""}], "variants", "Test t1: some of its variants have a picture and some have none."),
        (
            [WON | {"picture": ""}, LOST | {"picture": ""}],
            "variants",
            "Test t1: its variants have neither a picture nor a title.",
        ),
        ([WON, LOST | {"share": "30%"}], "shares", "Test t1: its shares add up to 88.8% where they are 100 %."),
        ([WON, LOST | {"share": "lots"}], "value", "Test t1: its value 'lots' is not a number."),
        ([WON, LOST | {"share": ""}], "value", "Test t1: some of its variants have a value and some have none."),
        (
            [WON, LOST | {"winner": "yes"}],
            "winner",
            "Test t1: it ended with a winner and names 2: exactly one variant wins.",
        ),
        (
            [WON | {"share": "50%", "winner": ""}, LOST | {"share": "50%"}],
            "winner",
            "Test t1: it ended with a winner and names 0: exactly one variant wins.",
        ),
        (
            [GOOD, OTHER],
            "winner",
            "Test t1: its winner has not the highest share of watch time, which is what decides.",
        ),
        (
            [WON | {"outcome": "inconclusive"}, LOST | {"outcome": "inconclusive"}],
            "winner",
            "Test t1: it names a winner and ended as inconclusive.",
        ),
        (
            [WON, LOST | {"winner": "maybe"}],
            "winner",
            "Test t1: its column winner says 'maybe' where it says yes or no.",
        ),
        (
            [WON, LOST | {"outcome": "inconclusive"}],
            "contradictory",
            "Test t1: its rows name 2 different outcomes (inconclusive, winner).",
        ),
        (
            [WON | {"outcome": "great"}, LOST | {"outcome": "great"}],
            "bad_outcome",
            "Test t1: its outcome 'great' is none of inconclusive, performed_same, winner.",
        ),
        (
            [row | {"outcome": "", "winner": ""} for row in (WON, LOST)],
            "outcome",
            "Test t1: it has no outcome and not one winner: say winner, performed_same or inconclusive.",
        ),
        ([WON, LOST | {"video_id": "bbbbbbbbbbb"}], "contradictory", "Test t1: its rows differ in video_id."),
        ([WON, LOST | {"last_day": "2026-03-15"}], "contradictory", "Test t1: its rows differ in last_day."),
        (
            [row | {"first_day": "2026-04-01"} for row in (WON, LOST)],
            "period",
            "Test t1: it ends on 2026-03-14, before it begins on 2026-04-01.",
        ),
        (
            [row | {"first_day": "March"} for row in (WON, LOST)],
            "period",
            "Test t1: its day 'March' is not written as 2026-01-31.",
        ),
        (
            [row | {"video_id": ""} for row in (WON, LOST)],
            "incomplete",
            "Test t1: its rows lack a video_id or the name of a variant.",
        ),
        (
            [row | {"test_id": ""} for row in (WON, LOST)],
            "no_test_id",
            "Test without an id (row 2): it has no test_id.",
        ),
    ],
)
def test_a_test_that_cannot_be_used_has_one_sentence_and_the_others_stay(read, rows, reason, sentence):
    whole = [row | {"test_id": "t2"} for row in (WON, LOST)]
    found = read(*rows, *whole)
    assert [(r.reason, r.sentence) for r in found.rejected] == [(reason, sentence)]
    assert [test.test_id for test in found.tests] == ["t2"]
    assert found.rows_read == len(rows) + 2


@pytest.mark.parametrize("metric", ["ctr", "CTR", "click-through rate"])
def test_click_rates_without_a_percent_sign_are_ratios(read, metric):
    rows = [row | {"metric": metric} for row in (WON, LOST)]
    [test] = read(rows[0] | {"share": "0.045"}, rows[1] | {"share": "0.04"}).tests
    assert test.metric == "ctr"
    found = read(rows[0] | {"share": "4.5"}, rows[1] | {"share": "4"})
    assert [r.sentence for r in found.rejected] == [
        "Test t1: its click rates are above 1: write them as 4.5% or 0.045."
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: {k: v for k, v in row.items() if k != "first_day"}, "it has no column first_day (it has test_id,"),
        (lambda row: {k: v for k, v in row.items() if k != "picture"}, "it has no column picture or title"),
        (lambda row: {k: v for k, v in row.items() if k not in ("outcome", "winner")}, "no column outcome or winner"),
        (lambda row: row | {"value": "1"}, "it has 2 columns that may be value (share, value); leave one of them."),
    ],
)
def test_a_file_without_a_column_is_refused_in_one_sentence(read, change, says):
    with pytest.raises(AbError) as caught:
        read(change(WON), change(LOST))
    assert str(caught.value).startswith("tests.csv: ")
    assert says in str(caught.value)


def test_a_row_that_cannot_be_read_refuses_the_file_because_its_test_would_lack_it(tmp_path):
    path = tmp_path / "tests.csv"
    path.write_text(",".join(GOOD) + "\n" + ",".join(WON.values()) + "\n" + ",".join(LOST.values()) + ",more\n")
    with pytest.raises(AbError, match=r"tests\.csv: row 3 cannot be read \(it has 10 fields .*mend the row\."):
        read_tests(path)
    with pytest.raises(UnreadableFileError, match="does not exist"):
        read_tests(tmp_path / "no.csv")


def test_training_never_reads_the_outcomes_of_tests():
    """Gold pairs are for evaluation: no file of training/, and no query that makes its pairs, names them."""
    training = Path(thumbrank_core.training.__path__[0])
    read = [*training.rglob("*.py"), *(migrations_folder().parent / "queries").glob("*.sql")]
    assert training / "dataset.py" in read
    for path in read:
        text = path.read_text(encoding="utf-8")
        for word in ("ab_outcomes", "ab_variants", "labels.gold", "gold_pairs"):
            assert word not in text, f"{path.name} names {word}"
