"""The report as a browser shows it: nothing is asked of anybody, nothing is wrong, and it can be read on a telephone and on a desk."""

import pytest

from tests.unit import evaluations as made
from thumbrank_core.evaluation import report
from thumbrank_core.evaluation.pictures import pictures_of
from thumbrank_core.store.images import ImageStore

pytestmark = pytest.mark.slow

WIDTHS = (400, 1600)
FACTS = """() => ({
  wide: document.documentElement.scrollWidth - window.innerWidth,
  boxes: [...document.querySelectorAll('.scroll')].map(box => box.getBoundingClientRect().right - window.innerWidth),
  pictures: [...document.images].map(image => ({
    alt: image.alt, loaded: image.complete && image.naturalWidth > 0, scale: image.clientWidth / image.naturalWidth,
    right: image.getBoundingClientRect().right - window.innerWidth, plot: image.src.startsWith('data:image/png'),
  })),
  columns: new Set([...document.querySelectorAll('figure')].map(box => Math.round(box.getBoundingClientRect().left))).size,
  smallest: Math.min(...[...document.querySelectorAll('p, li, td, th, small')].map(e => parseFloat(getComputedStyle(e).fontSize))),
})"""


@pytest.fixture(scope="module", params=[True, False], ids=["everything", "little"])
def page_file(request, tmp_path_factory):
    """A page with everything on it, and one of an evaluation that could measure little."""
    folder = tmp_path_factory.mktemp("report")
    images = ImageStore(folder / "images")
    rich = request.param
    dataset = made.pictured(made.dataset(("simulator",) if rich else ("import",)), images)
    evaluation = made.evaluation(dataset, rich=rich, n_channels=97 if rich else 35)
    curves = made.curves("tech", "gaming", "education", "news") if rich else {}
    pictures = pictures_of(evaluation, made.card(), curves)
    verdict = made.verdict("pass" if rich else "refused")
    page = report.render(evaluation, verdict, made.card(), dataset, images, pictures)
    return report.write(folder, page)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_in_a_browser(chromium, page_file, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri(), wait_until="load")
    found = page.evaluate(FACTS)
    page.close()

    assert said == []
    assert [url[:80] for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert found["wide"] <= 0, "the page is wider than its window"
    assert max(found["boxes"]) <= 0
    assert found["pictures"]
    for picture in found["pictures"]:
        assert picture["loaded"] and picture["alt"].strip() and picture["right"] <= 0, picture["alt"][:60]
        # Letters of 8 points are 17.8 pixels high in a plot's PNG.
        assert not picture["plot"] or picture["scale"] * 17.8 > 7.5, picture["alt"][:60]
    assert found["smallest"] >= 11
    assert found["columns"] == (2 if width == 1600 else 1), "side by side where there is room, and only there"
