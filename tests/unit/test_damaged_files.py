"""Files that are damaged or nested beyond reason: a row that cannot be read is a miss, a file that cannot is one sentence."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thumbrank_core.imports.readers import MOST_LEVELS, BrokenRow, Row, UnreadableFileError, open_table


@pytest.mark.parametrize("depth", [MOST_LEVELS + 1, 400, 900, 100_000])
@pytest.mark.parametrize(("opened", "closed"), [('{"a":', "}"), ("[", "]")])
def test_a_deeply_nested_line_is_a_broken_row_between_its_neighbours(tmp_path, depth, opened, closed):
    path = tmp_path / "a.jsonl"
    deep = '{"tags": ' + opened * depth + "1" + closed * depth + "}"
    path.write_text(f'{{"id": "x"}}\n{deep}\n{{"id": "y"}}\n')
    before, broken, after = open_table(path).rows()
    assert isinstance(before, Row) and isinstance(after, Row)
    assert broken == BrokenRow(2, f"it has more than {MOST_LEVELS} levels of lists and objects")


def test_what_exports_nest_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "x", "snippet": {"tags": ["a", "b"], "thumbnails": {"high": {"url": "u"}}}}\n')
    [row] = open_table(path).rows()
    assert isinstance(row, Row)
    assert row.values == {"id": "x", "snippet.tags": ["a", "b"], "snippet.thumbnails.high.url": "u"}


def test_the_deepest_line_that_is_taken_can_be_shown(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"tags": ' + "[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1) + "}\n")
    [row] = open_table(path).rows()
    assert isinstance(row, Row) and str(row.values["tags"]).startswith("[[")


def damaged(path):
    """A Parquet file of two row groups whose footer is whole and whose second row group is not."""
    table = pa.table({"id": [f"video {number:05}" for number in range(4000)]})
    pq.write_table(table, path, row_group_size=2000, compression="zstd")
    place = pq.read_metadata(path).row_group(1).column(0)
    first = place.dictionary_page_offset or place.data_page_offset
    data = bytearray(path.read_bytes())
    data[first : first + place.total_compressed_size] = b"\xff" * place.total_compressed_size
    path.write_bytes(data)
    return path


def test_a_damaged_row_group_is_one_sentence_after_the_rows_before_it(tmp_path):
    rows = open_table(damaged(tmp_path / "a.parquet")).rows()
    read = [next(rows) for _ in range(2000)]
    assert [row.number for row in read] == list(range(1, 2001))
    with pytest.raises(
        UnreadableFileError, match=r"^a\.parquet cannot be read after row 2,000 \(.*\): export it again\.$"
    ):
        next(rows)


def test_a_cut_file_is_one_sentence(tmp_path):
    path = damaged(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFileError, match=r"^a\.parquet is not a Parquet file: check the file\.$"):
        open_table(path)
