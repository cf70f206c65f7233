"""Days as seven languages and a spreadsheet write them."""

from datetime import date

import pytest

from thumbrank_core.imports.studio_values import AmbiguousValuesError, days_of


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-05-08", date(2026, 5, 8)),
        ("20260508", date(2026, 5, 8)),
        ("2026/5/8", date(2026, 5, 8)),
        ("2026年5月8日", date(2026, 5, 8)),
        ("2026년 5월 8일", date(2026, 5, 8)),
        ("2026. 5. 8.", date(2026, 5, 8)),
        ("May 8, 2026", date(2026, 5, 8)),
        ("8-May-20", date(2020, 5, 8)),
        ("8 May 2026", date(2026, 5, 8)),
        ("08.05.2026", date(2026, 5, 8)),
        ("8. Mai 2026", date(2026, 5, 8)),
        ("31. März 2026", date(2026, 3, 31)),
        ("31. Dez. 2026", date(2026, 12, 31)),
        ("8 de mai. de 2026", date(2026, 5, 8)),
        ("8 de fevereiro de 2026", date(2026, 2, 8)),
        ("8 ene 2026", date(2026, 1, 8)),
        ("8 dic. 2026", date(2026, 12, 8)),
        ("8 août 2026", date(2026, 8, 8)),
        ("8 juil. 2026", date(2026, 7, 8)),
        ("8 juin 2026", date(2026, 6, 8)),
        ("1 févr. 2026", date(2026, 2, 1)),
        ("31/01/2026", date(2026, 1, 31)),
        ("1/31/26", date(2026, 1, 31)),
        ("5/5/2026", date(2026, 5, 5)),
        ("2026-02-30", None),
        ("2026-02", None),
        ("Total", None),
        ("8 foo 2026", None),
        ("", None),
    ],
)
def test_a_day_is_read_in_every_language(text, day):
    assert days_of([text]) == [day]


def test_one_day_of_a_column_tells_the_order_of_all():
    assert days_of(["4/5/26", "13/5/26"]) == [date(2026, 5, 4), date(2026, 5, 13)]
    assert days_of(["4/5/26", "5/13/26"]) == [date(2026, 4, 5), date(2026, 5, 13)]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["4/5/26", "5/6/26"], "it cannot be told whether the day or the month is first"),
        (["13/5/26", "5/13/26"], "mix two orders"),
    ],
)
def test_an_order_that_cannot_be_told_is_refused(cells, says):
    with pytest.raises(AmbiguousValuesError, match=says):
        days_of(cells)
