"""The page and the cards: what stands first, what they say where there is nothing, and what never leaves or enters them."""

import html
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

from tests.unit import evaluations as made
from thumbrank_core.evaluation import cards, report
from thumbrank_core.evaluation.gate import Status
from thumbrank_core.evaluation.pictures import pictures_of
from thumbrank_core.evaluation.plots.curves import growth_curves, learning_curve
from thumbrank_core.evaluation.plots.heads import sub_scores
from thumbrank_core.evaluation.plots.scorers import accuracy_bars
from thumbrank_core.evaluation.plots.slices import by_margin_and_age, forest, niche_bars
from thumbrank_core.evaluation.shown import shown_on, without
from thumbrank_core.evaluation.summary import summary
from thumbrank_core.policy import load_policy
from thumbrank_core.store.images import ImageStore

HOSTILE = '<script>alert(1)</script>" onerror="alert(2) | `\'--><!--/item-->'

IMPORTED = (("import",), True, 97)


class Page(HTMLParser):
    """The start tags of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@cache
def drawn(sources, rich, n_channels):
    """The plots of an evaluation, drawn once: they take two seconds and hold neither verdict nor title."""
    evaluation = made.evaluation(made.dataset(sources), rich=rich, n_channels=n_channels)
    return pictures_of(evaluation, made.card(), made.curves() if rich else {})


def rendered(tmp_path, *, rich=True, sources=("import",), status: Status = "pass", title=None, n_channels=97):
    images = ImageStore(tmp_path / "images")
    dataset = made.pictured(made.dataset(sources), images)
    if title:
        dataset.items.title[:] = [title] * len(dataset.items)
    evaluation = made.evaluation(dataset, rich=rich, n_channels=n_channels)
    pictures = drawn(sources, rich, n_channels)
    return report.render(evaluation, made.verdict(status), made.card(), dataset, images, pictures)


@pytest.mark.parametrize("rich", [True, False])
@pytest.mark.parametrize("status", ["pass", "refused"])
def test_the_verdict_stands_before_every_picture(tmp_path, rich, status):
    page = rendered(tmp_path, rich=rich, status=status)
    assert page.index(html.escape(made.verdict(status).sentence[:30])) < page.index("<img")
    assert f'class="verdict {status}"' in page


@pytest.mark.parametrize("rich", [True, False])
def test_nothing_is_fetched_and_nothing_runs(tmp_path, rich):
    page = Page(rendered(tmp_path, rich=rich))
    assert not page.of("script") and not page.of("link") and not page.of("iframe")
    assert all(image["src"].startswith("data:image/") for image in page.of("img"))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "href"]
    assert "default-src 'none'" in str(page.of("meta"))
    style = re.findall(r"<style>(.*?)</style>", rendered(tmp_path, rich=rich), re.DOTALL)[0]
    assert "url(" not in style and "@import" not in style


@pytest.mark.parametrize("rich", [True, False])
def test_every_picture_says_what_is_seen_with_its_figures(tmp_path, rich):
    page = Page(rendered(tmp_path, rich=rich))
    plotted = [image["alt"] for image in page.of("img") if image["src"].startswith("data:image/png")]
    thumbnails = [image["alt"] for image in page.of("img") if image["src"].startswith("data:image/jpeg")]
    assert all(len(words) > 60 and re.search(r"0\.\d", words) for words in plotted)
    assert thumbnails and all(", part " in words for words in thumbnails)
    assert len(plotted) == (8 if rich else 4)


def test_the_words_of_a_picture_are_its_figures():
    says = {name: picture.says for name, picture in drawn(*IMPORTED).items()}
    assert "6,537 pairs of 97 unseen channels" in says["against_references"]
    assert "model 0.662 (0.644 to 0.680)" in says["against_references"]
    assert "0.013 (0.006 to 0.020) at 1.37" in says["reliability"]
    assert "By margin: 0.0 to 0.1: 0.530" in says["margin_and_age_gap"]
    assert "10% 0.795" in says["coverage"]
    assert "emotion no data (n = 2)" in says["sub_scores"]


def test_pictures_are_small_enough_for_dagster_s_database():
    found = drawn(("simulator",), True, 97)
    assert all(picture.png.startswith(b"\x89PNG") for picture in found.values())
    assert max(len(picture.png) for picture in found.values()) < 90_000
    assert sum(len(picture.png) for picture in found.values()) < 350_000


def test_plots_bear_what_could_not_be_measured():
    """One slice without an interval, no signal known, one epoch, one niche."""
    nothing = made.around(float("nan"))
    part = replace(made.slices()[0], accuracy={"model": replace(nothing, value=0.6)})
    unknown = replace(made.sub_scores(), agreement={}, n={})
    unknown.correlation[0, 1] = unknown.correlation[1, 0] = float("nan")
    assert forest([part]) and niche_bars([part])
    assert by_margin_and_age([replace(part, by="margin")])
    assert sub_scores(unknown)
    assert learning_curve(made.card().history[:1], 1)
    assert growth_curves(made.curves("tech"))
    alone = made.measured("unseen channels")
    scorers = {
        name: replace(scored, metrics={"pair_accuracy_micro": replace(nothing, value=0.5)})
        for name, scored in alone.scorers.items()
    }
    assert accuracy_bars(replace(alone, scorers=scorers))


def test_every_set_slice_and_condition_has_its_table(tmp_path):
    page = rendered(tmp_path)
    text = Page(page).text
    for words in ("Unseen channels, later in time", "Seen channels, later in time", "n = 751 pairs", "n = 2,210 pairs"):
        assert words in text
    for by, names in made.SLICES.items():
        assert all(f"{by}: {name}" in text for name in names)
    for condition in made.verdict().conditions:
        assert condition.name in text and condition.says in text
    assert "model minus champion" in text
    assert text.count("kendall_within_channel") == 4  # three tables and its definition
    assert page.count("<table") == page.count('<div class="scroll"') == 7


def test_a_slice_that_is_the_whole_is_stored_and_not_shown(tmp_path):
    """As of an imported data set, whose channels all hide their subscribers."""
    images = ImageStore(tmp_path / "images")
    dataset = made.pictured(made.dataset(), images)
    evaluation = made.evaluation(dataset)
    whole = replace(made.slices()[0], by="channel size", name="hidden", n_pairs=evaluation.unseen.n_pairs)
    evaluation = replace(evaluation, slices=[*(part for part in made.slices() if part.by != whole.by), whole])
    pictures = pictures_of(evaluation, made.card(), {})
    page = Page(report.render(evaluation, made.verdict(), made.card(), dataset, images, pictures)).text
    assert "niche: tech" in page and "channel size" not in page
    assert "channel size" not in pictures["slices"].says
    assert "channel size: hidden" not in cards.model_card(evaluation, made.verdict(), made.card(), dataset)
    assert {"by": "channel size", "name": "hidden"}.items() <= summary(evaluation, made.verdict())["slices"][-1].items()


def test_a_set_without_pairs_is_said_in_words(tmp_path):
    page = Page(rendered(tmp_path, rich=False))
    assert "No pairs: no unseen channel has two comparable videos published after the time cut" in page.text
    assert "No pairs: no training channel has two comparable videos" in page.text
    assert "none of them of two videos published after the time cut" in page.text
    assert "Every slice that has pairs has all of them." in page.text
    assert "No data: no weak signals were measured" in page.text
    assert "None of the stored pairs was left out." in page.text
    assert all(len(page.of(tag)) for tag in ("table", "tr"))
    assert len(page.of("table")) == 3  # unseen, calibration, the gate


def test_figures_that_could_not_be_had_are_no_data_and_no_number(tmp_path):
    images = ImageStore(tmp_path)
    dataset = made.dataset()
    evaluation = made.evaluation(dataset, rich=False)
    gone = {name: made.around(float("nan")) for name in ("kendall_within_channel", "top_1_of_3")}
    model = replace(evaluation.model, metrics=evaluation.model.metrics | gone)
    evaluation = replace(
        evaluation, unseen=replace(evaluation.unseen, scorers=evaluation.unseen.scorers | {"model": model})
    )
    page = report.render(evaluation, made.verdict(), made.card(), dataset, images, pictures_of(evaluation, made.card()))
    assert page.count("<td>no data</td>") == 2
    assert ">nan" not in page


def test_click_through_rates_are_no_data_or_the_owners_own(tmp_path):
    without_owners = Page(rendered(tmp_path, rich=False)).text
    assert "CTR correlation: no data" in without_owners
    page = rendered(tmp_path)
    assert "CTR correlation: 2 owners brought real figures" in page
    for secret in ("0.939", "UC_the_first_owner", "UC_the_other_owner"):
        assert secret not in re.sub(r"data:image/[^\"]*", "", page)
    assert "not a click-through rate" in page


def test_few_channels_and_unequal_ones_are_admitted(tmp_path):
    few = rendered(tmp_path, rich=False, n_channels=35)
    assert "channels can prove little" in few and "is too narrow" in few
    assert "the 35 unseen channels tell as much as 22.1 of equal size would" in few
    assert "can prove little" not in rendered(tmp_path, rich=False)


@pytest.mark.parametrize(("sources", "shown"), [(("simulator",), True), (("import",), False)])
def test_a_simulated_world_is_named_on_the_page_and_in_both_cards(tmp_path, sources, shown):
    dataset = made.dataset(sources)
    evaluation = made.evaluation(dataset)
    texts = [
        rendered(tmp_path, sources=sources),
        cards.model_card(evaluation, made.verdict(), made.card(), dataset),
        cards.data_card(dataset, made.card(), made.curves()),
    ]
    assert [("A simulated world." in text) for text in texts] == [shown] * 3
    assert ("ceiling" in texts[0]) is ("ceiling" in texts[1]) is shown


def test_a_hostile_title_is_text_wherever_it_stands(tmp_path):
    page = rendered(tmp_path, title=HOSTILE)
    assert "<script" not in page
    found = Page(page)
    assert next(image["alt"] for image in found.of("img") if "image/jpeg" in image["src"]) == HOSTILE
    assert all(set(image) == {"alt", "src"} for image in found.of("img"))


@pytest.mark.parametrize("title", [None, HOSTILE])
def test_every_video_on_the_page_can_be_taken_out_of_it_again(tmp_path, title):
    page = rendered(tmp_path, title=title).encode()
    shown = shown_on(page)
    assert len(shown) == page.count(b"data:image/jpeg") == 16
    bare = without(page, lambda _: True)
    assert b"data:image/jpeg" not in bare and b", part " not in bare and b"video0" not in bare
    assert html.escape(HOSTILE).encode() not in bare
    assert bare.count(b"removed (retention)") == 16
    assert bare.count(b"data:image/png") == 8


def test_a_picture_that_is_gone_is_said_and_not_drawn(tmp_path):
    dataset = made.dataset()
    evaluation = made.evaluation(dataset)
    page = report.render(evaluation, made.verdict(), made.card(), dataset, ImageStore(tmp_path), drawn(*IMPORTED))
    assert page.count("no picture: ") == 16
    assert "data:image/jpeg" not in page


def both_cards(rich=True, policy=None, title=None, **changes):
    dataset = made.dataset()
    dataset.items.title[:] = [title or "A title that nobody may read here"] * len(dataset.items)
    card = made.card(**changes)
    return (
        cards.model_card(made.evaluation(dataset, rich=rich), made.verdict(), card, dataset),
        cards.data_card(dataset, card, made.curves() if rich else {}, policy),
    )


@pytest.mark.parametrize("rich", [True, False])
def test_cards_hold_no_title_and_no_id(rich):
    owner = "UC_the_first_owner_0000"
    recipe = made.card().recipe | {"ctr_owner": owner}
    for text in both_cards(rich=rich, owner_rates=True, recipe=recipe):
        for secret in ("nobody may read", "video0", "channel0", "UC_", "0.9393"):
            assert secret not in text


@pytest.mark.parametrize("rich", [True, False])
def test_cards_say_unknown_where_nobody_knows(rich):
    for text in both_cards(rich=rich):
        assert len(re.findall("unknown", text, re.IGNORECASE)) >= 4
        assert "None" not in text and "nan" not in text.split() and "Undefined" not in text
    model, _ = both_cards(rich=rich)
    assert "| Code, git sha | unknown |" in model
    assert "| Code, git sha | 1c36609 |" in both_cards(git_sha="1c36609")[0]


def test_the_model_card_has_figures_with_n_interval_and_references():
    model, _ = both_cards()
    assert made.verdict().sentence in model
    assert "n = 6,537 pairs in 97 channels" in model and "n = 751 pairs in 64 channels" in model
    assert "| newer wins | 0.519 (0.501 to 0.537) |" in model
    assert "| 1.3700, as shipped | 0.221 (0.216 to 0.226) | 0.013 (0.006 to 0.020) |" in model
    assert "| hidden_dim | 512 |" in model and "`clip-vit-large-patch14/0123abcd/float32`" in model
    assert "| margin: 0.7 to 1.0 |" in model
    assert "III.E.4.h" in model
    bare, _ = both_cards(rich=False)
    assert "No pairs: no unseen channel" in bare and "No data: no owner brought any." in bare


def test_the_data_card_counts_what_there_is():
    dataset = made.dataset()
    _, data = both_cards()
    pairs, channels = dataset.counts("test")
    news = [line for line in data.splitlines() if line.startswith(("| tech | test |", "| news | test |"))]
    counted = [[int(cell.replace(",", "")) for cell in line.split("|")[3:-1]] for line in news]
    assert sum(row[2] for row in counted) == pairs and sum(row[1] for row in counted) == channels
    assert "| tech | 4,321 | 87 |" in data  # its growth curve
    assert "- Videos published from 2023-11-14 to 2024-01-13" in data
    assert "Criteria\n\nUnknown." in data
    assert "| min_views | 1000 |" in both_cards(policy=load_policy())[1]
    left = replace(dataset, left_out={"no_vectors": 1234})
    assert "- 1,234: a side without vectors" in cards.data_card(left, made.card(), {})


@pytest.mark.parametrize("rich", [True, False])
def test_the_tables_of_the_cards_are_whole(rich):
    """Every row of a Markdown table has as many cells as its head, and a blank line or a heading before it."""
    for text in both_cards(rich=rich, policy=load_policy()):
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if re.fullmatch(r"\|(-{3}:?\|)+", line):
                assert lines[number - 2] == "", lines[number - 2 : number + 1]
                width, row = line.count("|"), number + 1
                assert row < len(lines) and lines[row].startswith("|"), f"an empty table: {lines[number - 1]}"
                while row < len(lines) and lines[row].startswith("|"):
                    assert lines[row].replace("\\|", "").count("|") == width, lines[row]
                    row += 1
                assert row == len(lines) or lines[row] == "", f"text stuck to a table: {lines[row]}"


def test_the_page_and_the_cards_are_written_whole(tmp_path):
    for name in ("index.html", cards.MODEL_CARD, cards.DATA_CARD):
        report.write(tmp_path / "reports" / "a75d", name, name)
    assert sorted(path.name for path in (tmp_path / "reports" / "a75d").iterdir()) == [
        "DATA_CARD.md",
        "MODEL_CARD.md",
        "index.html",
    ]
