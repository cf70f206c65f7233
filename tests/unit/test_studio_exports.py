"""Every oddity of Studio's exports seen in the wild: what is read, how many rows in and out, and the sentence of each lost row."""

import io
import zipfile
from datetime import date

import pytest

from tests.unit.studio_exports import DATES, NNBSP, SHY, VIDEOS, WORDS, cells, export, simple, written
from thumbrank_core.imports.readers import UnreadableFileError
from thumbrank_core.imports.studio import Period, StudioError, parse_period, period_in, read_export

MARCH = Period(date(2026, 3, 1), date(2026, 3, 31))
RATES = {video: None if rate is None else rate / 100 for video, _, rate in VIDEOS}
A, B, C = "aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"


@pytest.fixture
def read(tmp_path):
    def read_bytes(data: bytes, mapping=None, period=MARCH, name="table.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return read_export(path, mapping or {}, period)

    return read_bytes


def figures(export_):
    return {row.video_id: (row.impressions, row.click_rate) for row in export_.rows}


def whole(export_):
    """No row is lost without a count."""
    assert export_.rows_read == len(export_.rows) + export_.totals + export_.footers + len(export_.rejected)
    return export_


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize("language", WORDS)
def test_the_same_content_gives_the_same_rows_in_every_language(read, language):
    result = whole(read(export(language)))
    assert (result.rows_read, len(result.rows), result.totals, result.footers, result.rejected) == (6, 4, 1, 1, [])
    assert {row.video_id: row.impressions for row in result.rows} == {video: shown for video, shown, _ in VIDEOS}
    assert {row.video_id: row.click_rate for row in result.rows} == pytest.approx(RATES)
    assert {row.period for row in result.rows} == {MARCH}


@pytest.mark.parametrize("language", WORDS)
def test_every_language_has_its_daily_exports_too(read, language):
    words = WORDS[language]
    rows = [[DATES[language], *words.header]]
    rows += [[day, *cells(words, A, "title", 1000, 5.0)] for day in ("2026-01-30", "2026-01-31")]
    result = whole(read(written(rows, words.delimiter), period=None))
    assert [(row.period.first_day, row.period.last_day) for row in result.rows] == [
        (date(2026, 1, 30),) * 2,
        (date(2026, 1, 31),) * 2,
    ]
    assert result.columns["date"] == DATES[language]


@pytest.mark.parametrize(
    ("shown", "rate"),
    [
        ("Thumbnail impressions", "Thumbnail click-through rate (%)"),
        ("IMPRESSIONS", "impressions  click-through\u00a0rate ( % )"),
        ("Thumbnail-Impressionen", "Thumbnail-Klickrate (%)"),
        ("サムネイルのインプレッション", "サムネイルのクリック率 \uff08%\uff09"),
        ("Impresiones de miniaturas", "Tasa de clics de las miniaturas (%)"),
        ("Impresso\u0303es", "Taxa de cliques de impresso\u0303es (%)"),
        (f"Im{SHY}pres{SHY}sionen", f"Klick{SHY}rate der Impres{SHY}sionen (%)"),
    ],
)
def test_old_and_new_names_are_known_however_they_are_composed(read, shown, rate):
    result = read(simple(f"{A},500,4.5", header=f"Content,{shown},{rate}"))
    assert figures(result) == {A: (500, pytest.approx(0.045))}


def test_columns_may_stand_in_any_order(read):
    header = "Impressions click-through rate (%),Views,Impressions,Video title,Content"
    assert figures(read(simple(f"4.5,9,500,title,{A}", header=header))) == {A: (500, pytest.approx(0.045))}


@pytest.mark.parametrize(
    "other",
    [
        "終了画面要素のクリック率 (%)",
        "Clicks per end screen element shown (%)",
        "End screen click-through rate (%)",
        "Card click rate (%)",
        "Teaser clicks per card teaser shown (%)",
        "Taux de clics sur les écrans de fin (%)",
    ],
)
def test_the_click_rate_of_end_screens_and_cards_is_never_taken(read, other):
    header = f"コンテンツ,{other},インプレッション数,インプレッションのクリック率 (%)"
    assert figures(read(simple(f"{A},99.9,500,4.5", header=header))) == {A: (500, pytest.approx(0.045))}
    with pytest.raises(StudioError, match="it has no column click_rate"):
        read(simple(f"{A},99.9,500", header=f"コンテンツ,{other},インプレッション数"))
    with pytest.raises(StudioError, match="of end screens, cards or advertisements, not of thumbnails"):
        read(simple(f"{A},99.9,500", header=f"コンテンツ,{other},インプレッション数"), {other: "click_rate"})


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            "Content,Impressions,Thumbnail impressions,Thumbnail click-through rate (%)",
            "table.csv: it has 2 columns that may be impressions ('Impressions', 'Thumbnail impressions'): say which one it "
            "is with --map THEIRS=impressions.",
        ),
        (
            "コンテンツ,インプレッション数,クリック率 (%),別のクリック率 (%)",
            "table.csv: it has no column that is click_rate for sure (perhaps 'クリック率 (%)', '別のクリック率 (%)'): say which "
            "with --map THEIRS=click_rate.",
        ),
        (
            "Content,Video title,Views",
            "table.csv: it has no column impressions (Studio's 'Impressions'; it has 'Content', 'Video title', 'Views'): export "
            "the table of the tab Content with that column, or say which it is with --map THEIRS=impressions.",
        ),
        (
            "Content,Video,Impressions,Impressions click-through rate (%)",
            "table.csv: it has 2 columns that may be video_id ('Content', 'Video'): say which one it is with --map "
            "THEIRS=video_id.",
        ),
    ],
)
def test_a_column_that_cannot_be_told_for_sure_lists_the_candidates(read, header, says):
    with pytest.raises(StudioError) as caught:
        read(simple(f"{A},1,2,3", header=header))
    assert str(caught.value) == says


def test_a_map_by_hand_decides(read):
    header = "コンテンツ,インプレッション数,クリック率 (%),別のクリック率 (%)"
    result = read(simple(f"{A},500,4.5,9", header=header), {"クリック率 (%)": "click_rate"})
    assert figures(result) == {A: (500, pytest.approx(0.045))}
    assert result.columns["click_rate"] == "クリック率 (%)"


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"Nope": "click_rate"}, "--map Nope=click_rate: it has no column 'Nope'"),
        ({"Content": "views"}, "'views' is not one of our columns (video_id, impressions, click_rate, date)"),
        ({"x": "click_rate"}, "--map x=click_rate: 2 of its columns are called that; rename one of them."),
    ],
)
def test_a_map_that_names_what_is_not_there_says_so(read, mapping, says):
    with pytest.raises(StudioError) as caught:
        read(simple(f"{A},1,2,3", header="Content,Impressions,x,x"), mapping)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "label", ["Total", "TOTAL", "Insgesamt", f"Ge{SHY}samt", "Gesamtsumme", "合計", "합계", "Totales"]
)
def test_a_total_row_is_known_by_its_label_wherever_it_stands(read, label):
    result = whole(read(simple(f"{A},500,4.5", f"{label},500,4.5", f"{B},0,")))
    assert (result.totals, figures(result)) == (1, {A: (500, pytest.approx(0.045)), B: (0, None)})


def test_a_first_row_without_a_video_id_is_the_total_in_a_language_we_do_not_know(read):
    result = whole(read(simple("Összesen,500,4.5", f"{A},500,4.5")))
    assert (result.totals, len(result.rows), result.rejected) == (1, 1, [])


@pytest.mark.parametrize("id_", ["#NAME?", "=-Vabcdefgh"])
def test_a_first_row_that_is_a_spoilt_video_is_not_the_total(read, id_):
    header = "Content,Video title,Impressions,Impressions click-through rate (%)"
    result = whole(read(simple(f"{id_},My video,500,4.5", f"{A},other,500,4.5", header=header)))
    assert (result.totals, len(result.rows)) == (0, 1)
    assert result.rejected[0].sentence == (f"Row 2: '{id_}' is not a video id (11 letters, figures, '-' and '_').")


@pytest.mark.parametrize("cell", [" -Vabc_def12", "'-Vabc_def12", "\u00a0-Vabc_def12 ", f"{SHY}-Vabc_def12"])
def test_an_id_that_was_protected_from_a_spreadsheet_is_itself(read, cell):
    assert list(figures(read(simple(f"{cell},500,4.5")))) == ["-Vabc_def12"]


@pytest.mark.parametrize(
    "footer", ["Showing top 500 results", "上位 500 件の結果を表示しています,,", '"Nur die ersten 500, nicht mehr"']
)
def test_a_remark_after_the_last_row_is_no_row(read, footer):
    result = whole(read(simple(*[f"{n:011d},10,5" for n in range(500)], footer)))
    assert (result.rows_read, len(result.rows), result.footers) == (501, 500, 1)


def test_a_line_of_one_cell_between_videos_is_rejected_and_named(read):
    result = whole(read(simple(f"{A},500,4.5", "broken", f"{B},500,4.5")))
    assert (len(result.rows), result.footers) == (2, 0)
    assert [r.sentence for r in result.rejected] == [
        "Row 3: 'broken' is not a video id (11 letters, figures, '-' and '_')."
    ]


def test_a_report_s_own_title_and_blank_lines_stand_above_the_header(read):
    data = b"sep=;\r\nRapport YouTube Studio\r\n\r\n" + export("fr")
    result = whole(read(data))
    assert (len(result.rows), result.footers, result.totals) == (4, 3, 1)


def test_each_row_that_cannot_be_used_has_one_sentence(read):
    result = whole(
        read(
            simple(
                "Total,9,9.5",
                ",500,4.5",
                "short,500,4.5",
                f"{A},,",
                f"{A},many,4.5",
                f"{A},12.5,4.5",
                f"{A},-3,4.5",
                f"{A},500,",
                f"{A},500,lots",
                f"{A},500,101.5",
                f"{A},0,4.5",
                f"{A},500,4,5",
                f"{B},500,4.5",
            )
        )
    )
    assert [(r.reason, r.sentence) for r in result.rejected] == [
        ("no_video_id", "Row 3: it has no video id."),
        ("bad_video_id", "Row 4: 'short' is not a video id (11 letters, figures, '-' and '_')."),
        ("no_impressions", "Row 5: it has no impressions."),
        ("bad_impressions", "Row 6: its impressions 'many' is not a number."),
        ("bad_impressions", "Row 7: its impressions '12.5' is not a whole number."),
        ("bad_impressions", "Row 8: its impressions '-3' is not a number."),
        ("no_click_rate", f"Row 9: video {A} has impressions without a click rate."),
        ("bad_click_rate", "Row 10: its click rate 'lots' is not a number."),
        ("bad_click_rate", "Row 11: its click rate '101.5' is above 100 %."),
        ("rate_without_impressions", f"Row 12: video {A} has a click rate without impressions."),
        ("broken_row", "Row 13: it has 4 fields where the header has 3."),
    ]
    assert (result.rows_read, len(result.rows), result.totals) == (13, 1, 1)


@pytest.mark.parametrize("rate", ["", "0", "0 %", "0,0", "-", "\u2013"])
def test_without_impressions_there_is_no_click_rate(read, rate):
    assert figures(read(simple(f'{A},0,"{rate}"'))) == {A: (0, None)}


def test_a_video_that_stands_twice_is_kept_once_and_contradictions_not_at_all(read):
    result = whole(read(simple(f"{A},500,4.5", f"{A},500,4.5", f"{B},500,4.5", f"{B},700,4.5")))
    assert list(figures(result)) == [A]
    assert [r.sentence for r in result.rejected] == [
        f"Row 3: it says the same of video {A} as row 2.",
        f"Row 4: rows 4, 5 say different things of video {B} in 2026-03-01..2026-03-31; export without a further breakdown.",
        f"Row 5: rows 4, 5 say different things of video {B} in 2026-03-01..2026-03-31; export without a further breakdown.",
    ]


# Encodings and spreadsheets


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("language", ["de", "ja", "fr"])
def test_the_encoding_of_the_file_does_not_matter(read, language, encoding):
    assert len(whole(read(export(language, encoding=encoding))).rows) == 4


@pytest.mark.parametrize(
    ("language", "encoding"), [("de", "cp1252"), ("pt", "cp1252"), ("es", "cp1252"), ("ja", "cp932"), ("ko", "cp949")]
)
def test_a_spreadsheet_may_have_saved_it_in_its_own_code_page(read, language, encoding):
    result = whole(read(export(language, encoding=encoding)))
    assert (len(result.rows), result.totals, result.footers) == (4, 1, 1)


def test_a_tab_separated_file_as_a_spreadsheet_saves_unicode_text(read):
    words = WORDS["ja"]
    rows = [words.header, cells(words, A, "title", 500, 4.5)]
    assert figures(read(written(rows, "\t", "utf-16"), name="table.txt")) == {A: (500, pytest.approx(0.045))}


def test_a_file_saved_again_by_a_spreadsheet_with_its_dates_and_trailing_cells(read):
    rows = [["Datum", "Inhalte", "Videotitel", "Impressionen", "Klickrate der Impressionen (%)"]]
    rows += [[day, A, "Größe", "1.234", "6,58", "", ""] for day in ("8-May-20", "31-May-20")]
    result = whole(read(written(rows, ";", "cp1252"), period=None))
    assert [str(row.period) for row in result.rows] == ["2020-05-08..2020-05-08", "2020-05-31..2020-05-31"]
    assert [(row.impressions, row.click_rate) for row in result.rows] == [(1234, pytest.approx(0.0658))] * 2


def test_rows_may_lack_their_empty_cells_at_the_end(read):
    assert figures(read(simple(f"{A},0", f"{B},500,4.5"))) == {A: (0, None), B: (500, pytest.approx(0.045))}


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00"])
def test_what_is_no_table_is_refused_in_one_sentence(read, data):
    with pytest.raises((UnreadableFileError, StudioError), match=r"^table\.csv: it ") as caught:
        read(data)
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_ending_and_an_absent_file_are_one_sentence(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"a\.xlsx: it is neither a \.csv nor Studio's \.zip"):
        read_export(tmp_path / "a.xlsx", {}, MARCH)
    with pytest.raises(UnreadableFileError, match="there is no such file"):
        read_export(tmp_path / "a.csv", {}, MARCH)


# Periods


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("Content 2026-01-01_2026-04-01 My channel", "2026-01-01..2026-03-31"),
        ("Conteúdo 2023-01-26_2023-02-23 Fora", "2023-01-26..2023-02-22"),
        (f"Vi{SHY}deos 2021-05-05_2021-05-06", "2021-05-05..2021-05-05"),
        ("コンテンツ 2026-02-01_2026-03-01 私の", "2026-02-01..2026-02-28"),
    ],
)
def test_the_second_day_in_studio_s_names_is_the_day_after_the_last(name, period):
    assert str(period_in(name)) == period


@pytest.mark.parametrize(
    "name", ["Table data", "2026-01-01", "Content 2026-13-01_2026-14-01", "x 2026-04-01_2026-01-01"]
)
def test_a_name_without_a_period_has_none(name):
    assert period_in(name) is None


def test_the_period_comes_from_the_option_then_the_file_then_its_folder(read):
    folder = "Content 2026-01-01_2026-02-01 Me"
    data = simple(f"{A},500,4.5")
    assert str(read(data, period=None, name=f"{folder}/Table data.csv").rows[0].period) == "2026-01-01..2026-01-31"
    named = read(data, period=None, name=f"{folder}/Content 2025-01-01_2025-02-01.csv")
    assert str(named.rows[0].period) == "2025-01-01..2025-01-31"
    assert read(data, name=f"{folder}/Table data.csv").rows[0].period == MARCH


def test_a_table_that_does_not_say_its_days_needs_the_option(read):
    with pytest.raises(StudioError, match=r"add --period 2026-01-01\.\.2026-03-31, both days included") as caught:
        read(simple(f"{A},500,4.5"), period=None)
    assert str(caught.value).startswith("table.csv: ")


def test_a_period_beside_dates_is_a_contradiction(read):
    with pytest.raises(StudioError, match=r"it has a date in every row \('Date'\); leave out --period"):
        read(simple(f"2026-01-01,{A},500,4.5", header="Date,Content,Impressions,Impressions click-through rate (%)"))


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01..", "2026-03-31..2026-01-01", "1 Jan..2 Jan", ".."])
def test_a_period_that_is_none_is_one_sentence(text):
    with pytest.raises(StudioError, match="is not a period: write it as"):
        parse_period(text)


def test_a_row_whose_date_is_no_day_is_rejected_and_the_others_stay(read):
    header = "Date,Content,Impressions,Impressions click-through rate (%)"
    rows = ["Total,,900,4.5", f"2026-01-01,{A},500,4.5", f"2026-01,{A},500,4.5", f"2026-02-30,{A},500,4.5"]
    result = whole(read(simple(*rows, header=header), period=None))
    assert (len(result.rows), result.totals) == (1, 1)
    assert [r.sentence for r in result.rejected] == [
        "Row 4: its date '2026-01' is not a day.",
        "Row 5: its date '2026-02-30' is not a day.",
    ]


# Studio's .zip


@pytest.mark.parametrize("language", WORDS)
def test_studio_s_zip_gives_its_table_and_its_period(read, language):
    totals = b"Date,Views\n2026-01-01,3\n"
    chart = f"Date,Content,Impressions\n2026-01-01,{A},3\n".encode()
    data = zipped(**{"Chart data.csv": chart, WORDS[language].table_file: export(language), "Totals.csv": totals})
    result = whole(read(data, period=None, name="Content 2026-01-01_2026-04-01 My channel.zip"))
    assert (len(result.rows), str(result.rows[0].period)) == (4, "2026-01-01..2026-03-31")


def test_a_table_of_another_name_in_a_zip_is_known_by_its_columns(read):
    data = zipped(**{"Tabelldata.csv": export("en"), "Totals.csv": b"Date,Views\n"})
    assert len(read(data, name="x.zip").rows) == 4


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"Totals.csv": b"Date,Views\n"}, r"x\.zip: it does not hold one table of videos .*'Totals\.csv'"),
        ({"a.csv": export("en"), "b.csv": export("de")}, "it does not hold one table of videos"),
        ({f"{n}.csv": b"" for n in range(51)}, "it holds more than 50 files"),
    ],
)
def test_a_zip_without_one_table_is_refused(read, members, says):
    with pytest.raises(UnreadableFileError, match=says):
        read(zipped(**members), name="x.zip")


def test_a_zip_is_never_unpacked_beyond_the_limit_whatever_it_says_of_itself(read, monkeypatch):
    monkeypatch.setattr("thumbrank_core.imports.studio_files.MAX_BYTES", 2**20)
    data = zipped(**{"Table data.csv": b"0" * (2**20 + 1)})
    assert len(data) < 5000
    with pytest.raises(UnreadableFileError, match="it holds a file larger than 1 MiB"):
        read(data, name="x.zip")
    with pytest.raises(UnreadableFileError, match="it is larger than 1 MiB"):
        read(b"0" * (2**20 + 1))


@pytest.mark.parametrize(
    "spoil", [lambda data: b"not a zip", lambda data: data[:40], lambda data: data.replace(b"Content", b"Xontent", 1)]
)
def test_a_spoilt_zip_is_refused_in_one_sentence(read, spoil):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("Table data.csv", export("en"))
    with pytest.raises(UnreadableFileError, match=r"x\.zip: it is not a readable \.zip; export it again"):
        read(spoil(stream.getvalue()), name="x.zip")


def test_a_locked_zip_is_refused_in_one_sentence(read):
    data = bytearray(zipped(**{"Table data.csv": export("en")}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UnreadableFileError, match="it is locked with a password"):
        read(bytes(data), name="x.zip")


# How numbers are written is decided for the whole file


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (['"1.234","6,58"'], (1234, 0.0658)),
        (['"1,234","6.58"'], (1234, 0.0658)),
        (['"1.234","7"'], (1234, 0.07)),
        (['"1.234","6.580"'], None),
        (['"1 234","6.58%"'], (1234, 0.0658)),
        ([f'"1{NNBSP}234","6,58{NNBSP}%"'], (1234, 0.0658)),
        (['"1\u00a0234","6,58 %"'], (1234, 0.0658)),
        (['"1\'234","6.58"'], (1234, 0.0658)),
        (['"1\u2019234","6.58"'], (1234, 0.0658)),
        (['"1,23,456","6.58"'], (123456, 0.0658)),
        (['"1.234.567","%6,58"'], (1234567, 0.0658)),
        (['"1234","6.580"'], (1234, 0.0658)),
        (['"1234.0","6.58"'], (1234, 0.0658)),
        (['"\uff11\uff12\uff13\uff14","\uff16.58\uff05"'], (1234, 0.0658)),
    ],
)
def test_thousands_and_decimals_of_every_language(read, rows, expected):
    data = simple(*(f"{A},{row}" for row in rows))
    if expected is None:
        with pytest.raises(StudioError, match="its numbers contradict one another"):
            read(data)
    else:
        impressions, rate = expected
        assert figures(read(data)) == {A: (impressions, pytest.approx(rate))}


@pytest.mark.parametrize(
    "rows",
    [
        ['"1.234","6.58"'],
        ['"1,234","6,58"'],
        ['"1.234","6"', '"1,234","6"'],
        ['"5","6.58"', '"5","6,58"'],
    ],
)
def test_a_file_whose_numbers_contradict_one_another_is_refused(read, rows):
    with pytest.raises(StudioError, match=r"table\.csv: its numbers contradict one another \('.*' and '.*'\)"):
        read(simple(*(f"{name},{row}" for name, row in zip((A, B), rows, strict=False))))


def test_other_columns_tell_the_decimal_mark_where_ours_do_not(read):
    header = "Content,Watch time (hours),Impressions,Impressions click-through rate (%)"
    with pytest.raises(StudioError, match="its numbers contradict"):
        read(simple(f"{A},12.25,1.234,7", header=header))
    assert figures(read(simple(f'{A},"12,25",1.234,7', header=header)))[A][0] == 1234


@pytest.mark.parametrize(
    ("header", "rate", "expected"), [("CTR", "6.58", 0.0658), ("CTR", "0.9%", 0.009), ("CTR (%)", "0.9", 0.009)]
)
def test_the_click_rate_is_a_percentage_where_anything_says_so(read, header, rate, expected):
    data = simple(f"{A},500,{rate}", header=f"Content,Impressions,{header}")
    assert figures(read(data, {header: "click_rate"})) == {A: (500, pytest.approx(expected))}


def test_a_click_rate_that_may_be_a_ratio_is_refused(read):
    with pytest.raises(StudioError, match="it does not say whether its click rates are percentages"):
        read(simple(f"{A},500,0.0658", header="Content,Impressions,CTR"), {"CTR": "click_rate"})


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_damaged_zip_is_one_sentence(read, place):
    data = bytearray(zipped(**{WORDS["en"].table_file: export("en") * 20}))
    data[int(len(data) * place * 0.5) + 40] ^= 0xFF
    with pytest.raises(UnreadableFileError):
        read(bytes(data), period=None, name="Content 2026-01-01_2026-04-01 My channel.zip")
