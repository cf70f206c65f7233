"""What a row of a team's own file says, and what is refused by name."""

from datetime import UTC, datetime

import pytest

from thumbrank_core.imports.columns import ColumnError, resolve
from thumbrank_core.imports.readers import BrokenRow, Row, UnreadableFileError, open_table
from thumbrank_core.imports.rows import RowError, parse

SEEN = datetime(2026, 1, 31, tzinfo=UTC)
GOOD = {
    "video_id": "-y_h_t9eEf4",
    "channel_id": "UC1",
    "title": "=SUM(A1)",
    "published_at": "2026-01-01T00:00:00Z",
    "view_count": "3055.0",
}


@pytest.mark.parametrize("title", ["=1+1", "+more", "-less", "@you", "NA", "null", "  spaces "])
def test_titles_are_ordinary_text_whatever_they_begin_with(title):
    assert parse(GOOD | {"title": title}, SEEN).video.title == title


def test_a_count_from_a_data_frame_is_a_whole_number():
    assert parse(GOOD, SEEN).video.view_count == 3055


def test_a_row_without_views_but_whole_otherwise_is_kept():
    assert parse(GOOD | {"view_count": ""}, SEEN).video.view_count is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"video_id": ""}, "no_video_id"),
        ({"video_id": "../../etc/passwd"}, "bad_video_id"),
        ({"channel_id": "", "title": "", "published_at": "", "view_count": ""}, "no_views"),
        ({"title": ""}, "no_title"),
        ({"published_at": "last week"}, "bad_published_at"),
        ({"view_count": "many"}, "bad_view_count"),
        ({"view_count": "-1"}, "bad_view_count"),
        ({"view_count": "1.5"}, "bad_view_count"),
        ({"view_count": "inf"}, "bad_view_count"),
        ({"duration": "4:13"}, "bad_duration"),
        ({"title": "a\x00b"}, "bad_text"),
    ],
)
def test_a_row_that_cannot_be_used_has_a_reason(change, reason):
    with pytest.raises(RowError) as caught:
        parse(GOOD | change, SEEN)
    assert caught.value.reason == reason


def test_counts_without_a_time_are_refused():
    with pytest.raises(RowError) as caught:
        parse(GOOD, None)
    assert caught.value.reason == "no_observed_at"


def test_the_api_s_own_names_are_understood_flat_and_nested():
    flat = resolve(["videoId", "channelId", "title", "publishedAt", "viewCount"], {})
    nested = resolve(
        [
            "id",
            "snippet.channelId",
            "snippet.title",
            "snippet.publishedAt",
            "statistics.viewCount",
            "contentDetails.duration",
        ],
        {},
    )
    assert flat["video_id"] == "videoId"
    assert nested["duration"] == "contentDetails.duration"


def test_a_map_goes_before_the_names():
    found = resolve(["videoId", "channelId", "title", "publishedAt", "viewCount", "clicks"], {"clicks": "view_count"})
    assert found["view_count"] == "clicks"


@pytest.mark.parametrize(
    ("present", "mapping", "says"),
    [
        (["videoId", "channelId", "title", "publishedAt"], {}, "--map THEIRS=view_count"),
        (["videoId"], {"nope": "title"}, "no column 'nope'"),
        (["videoId"], {"videoId": "name"}, "not one of our columns"),
    ],
)
def test_a_missing_column_is_named_with_the_mend(present, mapping, says):
    with pytest.raises(ColumnError, match=says):
        resolve(present, mapping)


def test_broken_csv_rows_do_not_take_their_neighbours_along(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,2\n1,2,3\n\xff\xfe,4\n"x\ny",5\n')
    rows = list(open_table(path).rows())
    assert [type(row) for row in rows] == [Row, BrokenRow, BrokenRow, Row]
    assert isinstance(rows[3], Row) and rows[3].values == {"a": "x\ny", "b": "5"}


def test_broken_json_lines_do_not_take_their_neighbours_along(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "x", "snippet": {"title": "t"}}\n{oops\n[1]\n\n{"id": "y"}\n')
    table = open_table(path)
    assert table.columns == ["id", "snippet.title"]
    assert [type(row) for row in table.rows()] == [Row, BrokenRow, BrokenRow, Row]


@pytest.mark.parametrize("name", ["absent.csv", "data.xlsx", "empty.csv", "fake.parquet"])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, name):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "data.xlsx").write_bytes(b"PK")
    (tmp_path / "fake.parquet").write_bytes(b"nothing")
    with pytest.raises(UnreadableFileError) as caught:
        open_table(tmp_path / name)
    assert str(caught.value).count(". ") == 0
    assert str(caught.value).endswith(".")
