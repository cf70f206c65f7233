"""Videos on pages, and the ages of the two policy modes, without a database."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from thumbrank_core.evaluation.report import Side
from thumbrank_core.evaluation.shown import Shown, shown_on, templates, without
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.expiry import Ages

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
NASTY = "--><script>alert('</div><!--/item-->')</script> & Ünïcödé"


def shown(video_id, title=b"t", picture=b"p"):
    return Shown(video_id, title * 32, picture * 32, NOW)


def rendered(sides):
    template = templates().get_template("item.html.j2")
    items = [
        template.render(
            side=Side(side.mark(), NASTY, "data:image/jpeg;base64,AAAA" + side.video_id, 1234.5), word="won"
        )
        for side in sides
    ]
    return f"<main><!-- a remark -->{''.join(items)}<!--/item--></main>".encode()


@pytest.mark.parametrize("video_id", ["--abc_-DEF--", "-->", "a" * 11, "é\"'<>&"])
def test_a_mark_survives_whatever_an_id_or_a_title_holds(video_id):
    sides = [shown(video_id), shown("other")]
    assert shown_on(rendered(sides)) == sides


def test_what_goes_leaves_nothing_of_itself_and_the_rest_stays_to_the_byte():
    stays, goes = shown("staying-one"), shown("--going--1")
    page = without(rendered([stays, goes, stays]), lambda side: side == goes)
    assert shown_on(page) == [stays, stays]
    assert b"going" not in page
    assert goes.mark().encode() not in page
    assert page.count(b"removed (retention)") == 1
    assert re.sub(rb'<div><div class="missing">removed \(retention\)</div></div>\s*', b"", page) == rendered(
        [stays, stays]
    )
    assert without(page, lambda side: side == goes) == page


def test_a_picture_that_was_missing_has_no_digest():
    side = Shown("v", bytes(32), None, NOW)
    assert shown_on(f"<!--item:{side.mark()}-->x<!--/item-->".encode()) == [side]


def test_the_ages_are_the_policy_s():
    policy = load_policy()
    unaudited = Ages.of(policy.model_copy(update={"mode": "unaudited"}), NOW)
    audited = Ages.of(policy.model_copy(update={"mode": "audited"}), NOW)
    assert unaudited.content == unaudited.statistics == audited.content == NOW - timedelta(days=30)
    assert audited.statistics == NOW - timedelta(days=1095)
    assert (unaudited.audited, audited.audited) == (False, True)
