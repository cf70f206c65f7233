"""The weak signals: each detector says what its name says, whatever size is served, and says why where it cannot."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tests.contact_sheet import contact_sheet
from thumbrank_core.features.signals.combine import combine, correlations, mean_off_diagonal, rank_gaussian
from thumbrank_core.features.signals.definitions import MEASURES, SIGNALS, VECTOR_MEASURES, Reading
from thumbrank_core.features.signals.faces import Face, expression_strength, face_prominence, find_face
from thumbrank_core.features.signals.luminance import rms_contrast
from thumbrank_core.features.signals.measure import measure
from thumbrank_core.features.signals.prompts import PROMPTS, antonym_score, title_match
from thumbrank_core.features.signals.saliency import main_region
from thumbrank_core.features.signals.sharpness import edge_sharpness
from thumbrank_core.features.signals.text_regions import text_regions
from thumbrank_core.features.signals.working_picture import without_bars, working_picture
from thumbrank_core.simulator.channels import Style
from thumbrank_core.simulator.pictures import draw
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_core.store.picture import PictureError

NO_VALUE = float("nan")


@pytest.fixture(scope="module")
def style() -> Style:
    return build_world(WorldSettings(seed=1, channels_per_niche=1, videos_per_channel=1)).channels[0].style


@pytest.fixture(scope="module")
def scene(style: Style) -> Image.Image:
    return draw([1.0, 1.0, 1.0, 1.5, 0.0, 0.0], style, 0, "CASTLE BUILD", 7, 1280)


def encoded(picture: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return buffer.getvalue()


def values(data: bytes) -> dict[str, float]:
    return {reading.measure: NO_VALUE if reading.value is None else reading.value for reading in measure(data)}


def reasons(data: bytes) -> dict[str, str | None]:
    return {reading.measure: reading.reason for reading in measure(data)}


def grey(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"))


def written(lines: list[tuple[str, int]]) -> np.ndarray:
    picture = Image.new("L", (320, 180), 60)
    top = 6
    for words, height in lines:
        ImageDraw.Draw(picture).text((10, top), words, fill=240, font=ImageFont.load_default(height))
        top += round(height * 1.3)
    return np.asarray(picture)


def measured(value: float | None) -> float:
    assert value is not None
    return value


def test_every_measure_has_a_signal_and_every_signal_a_measure():
    assert {*MEASURES.values(), *VECTOR_MEASURES.values()} == set(SIGNALS)
    assert set(PROMPTS) < set(VECTOR_MEASURES)
    assert not set(MEASURES) & set(VECTOR_MEASURES)


def test_a_reading_has_either_a_value_or_a_reason():
    for value, reason in ((None, None), (1.0, "flat"), (NO_VALUE, None)):
        with pytest.raises(ValueError, match=r"contrast\.rms\.1"):
            Reading("contrast.rms.1", value, reason)


def test_a_picture_gives_one_reading_per_measure(scene: Image.Image):
    assert [reading.measure for reading in measure(encoded(scene))] == list(MEASURES)


def test_sharpness_falls_with_blur_and_does_not_follow_contrast(scene: Image.Image):
    small = scene.resize((320, 180))
    blurred = [
        measured(edge_sharpness(grey(small.filter(ImageFilter.GaussianBlur(radius))))) for radius in (0, 0.7, 1.5, 3)
    ]
    assert blurred == sorted(blurred, reverse=True)
    assert blurred[0] > blurred[-1] + 0.3
    pale = small.point([round(128 + (level - 128) * 0.4) for level in range(256)] * 3)
    assert edge_sharpness(grey(pale)) == pytest.approx(blurred[0], abs=0.05)


def test_contrast_is_the_standard_deviation_of_the_luma():
    half = np.zeros((180, 320), np.uint8)
    half[:90] = 255
    assert rms_contrast(half) == pytest.approx(0.5)
    assert rms_contrast(half // 4) == pytest.approx(0.5 * 63 / 255)


def test_prominence_rises_with_the_subjects_size_and_falls_away_from_the_middle():
    def region(x: int, y: int, radius: int) -> float:
        picture = Image.new("RGB", (320, 180), (40, 80, 160))
        ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(240, 200, 40))
        return main_region(np.asarray(picture)) or 0.0

    sizes = [region(160, 90, radius) for radius in (15, 30, 60)]
    assert sizes == sorted(sizes)
    assert sizes[2] == pytest.approx(np.pi * 60**2 / (320 * 180), rel=0.1)
    assert region(70, 50, 30) < sizes[1]


def test_a_large_face_in_the_middle_is_the_most_prominent():
    assert face_prominence(Face(115, 45, 90), 320, 180) > face_prominence(Face(135, 65, 50), 320, 180)
    assert face_prominence(Face(115, 45, 90), 320, 180) > face_prominence(Face(0, 0, 90), 320, 180)
    assert face_prominence(Face(70, 0, 180), 320, 180) == pytest.approx(180 / 320)


def test_expression_rises_as_mouth_and_eyes_open_and_does_not_follow_contrast(style: Style):
    faces = [draw([value, 1.5, 0, 1, 0, -2], style, 0, "WORD", 7) for value in (-1.5, 0.0, 1.5)]
    found = find_face(grey(faces[1]))
    assert found is not None
    strengths = [measured(expression_strength(grey(face), found)) for face in faces]
    assert strengths == sorted(strengths)
    pale = faces[2].point([round(128 + (level - 128) * 0.5) for level in range(256)] * 3)
    assert expression_strength(grey(pale), found) == pytest.approx(strengths[2], abs=0.05)


def test_more_text_and_more_different_sizes_rank_higher():
    one = text_regions(written([("BIG NEWS", 20)]))
    two = text_regions(written([("BIG NEWS", 20), ("AND MORE", 20)]))
    mixed = text_regions(written([("BIG NEWS", 40), ("and more", 14)]))
    assert (one.count, two.count, mixed.count) == (1, 2, 2)
    assert 0 < one.area < two.area
    assert one.spread == 0
    assert mixed.spread > 1
    assert one.hierarchy < two.hierarchy < mixed.hierarchy


def test_text_is_found_light_on_dark_and_dark_on_light():
    light = text_regions(written([("BIG NEWS", 24)]))
    dark = text_regions(255 - written([("BIG NEWS", 24)]))
    assert dark.area == pytest.approx(light.area, rel=0.1)


def test_a_picture_without_text_has_none_of_it():
    found = text_regions(np.full((180, 320), 90, np.uint8))
    assert (found.count, found.area, found.hierarchy) == (0, 0, 0)


def test_the_served_size_hardly_matters(scene: Image.Image):
    sizes = [scene.resize(size, Image.Resampling.LANCZOS) for size in ((320, 180), (640, 360), (480, 270))]
    boxed = Image.new("RGB", (480, 360))
    boxed.paste(sizes[2], (0, 45))
    whole = values(encoded(scene))
    assert not np.isnan(list(whole.values())).any()
    for picture in (*sizes[:2], boxed):
        served = values(encoded(picture))
        assert served["clarity.laplacian.1"] == pytest.approx(whole["clarity.laplacian.1"], abs=0.12)
        assert served["contrast.rms.1"] == pytest.approx(whole["contrast.rms.1"], abs=0.005)
        assert served["prominence.saliency.1"] == pytest.approx(whole["prominence.saliency.1"], rel=0.1)
        assert served["prominence.face.1"] == pytest.approx(whole["prominence.face.1"], rel=0.25)
        assert served["emotion.face.1"] == pytest.approx(whole["emotion.face.1"], abs=0.2)
        assert served["hierarchy.text.1"] == pytest.approx(whole["hierarchy.text.1"], rel=0.25)


def test_black_bars_are_cut_off_and_a_dark_picture_is_not():
    picture = np.zeros((360, 480, 3), np.uint8)
    picture[45:315] = 90
    assert without_bars(picture).shape == (270, 480, 3)
    picture[10] = 90
    assert without_bars(picture).shape == (360, 480, 3)
    assert without_bars(np.zeros((180, 320, 3), np.uint8)).shape == (180, 320, 3)


def test_a_flat_picture_has_reasons_and_its_two_observations():
    data = encoded(Image.new("RGB", (1280, 720), (90, 90, 90)))
    assert reasons(data) == {
        "clarity.laplacian.1": "flat",
        "contrast.rms.1": None,
        "prominence.saliency.1": "flat",
        "prominence.face.1": "no_face",
        "emotion.face.1": "no_face",
        "hierarchy.text.1": None,
    }
    assert values(data)["contrast.rms.1"] == values(data)["hierarchy.text.1"] == 0


def test_focus_and_text_of_an_enlarged_picture_are_missing(scene: Image.Image):
    found = reasons(encoded(scene.resize((120, 68))))
    assert (found["clarity.laplacian.1"], found["hierarchy.text.1"]) == ("too_small", "too_small")
    assert found["contrast.rms.1"] is None


@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (3, 2000), (30, 400), (400, 30)])
def test_odd_shapes_are_read_or_have_reasons(size: tuple[int, int]):
    assert len(measure(encoded(Image.new("RGB", size, (200, 30, 90)), "PNG"))) == len(MEASURES)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "1"])
def test_every_mode_of_png_is_read(scene: Image.Image, mode: str):
    found = values(encoded(scene.convert(mode), "PNG"))
    assert found["contrast.rms.1"] > 0.05


def test_a_16_bit_png_reads_as_its_8_bits(scene: Image.Image):
    eight = scene.resize((320, 180)).convert("L")
    sixteen = Image.fromarray(np.asarray(eight).astype(np.uint16) * 257)
    assert values(encoded(sixteen, "PNG")) == pytest.approx(values(encoded(eight, "PNG")), nan_ok=True)


def test_bytes_that_do_not_decode_are_refused(scene: Image.Image):
    data = encoded(scene)
    with pytest.raises(PictureError) as error:
        measure(data[: len(data) // 2])
    assert error.value.reason == "truncated"
    for broken in (b"", b"not a picture", b"\0" * (8 * 1024 * 1024 + 1)):
        with pytest.raises(PictureError):
            measure(broken)


def test_threads_read_what_one_thread_reads(style: Style):
    pictures = [
        encoded(draw([value, size, 0, 1, 0, 0], style, 0, "SOME WORDS", seed))
        for seed, (value, size) in enumerate((value, size) for value in (-1, 0, 1) for size in (-1, 0, 1, 2))
    ]
    alone = [measure(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(measure, pictures * 3)) == alone * 3


def test_the_picture_is_decoded_once_and_320_wide(scene: Image.Image):
    assert working_picture(encoded(scene)).rgb.shape == (180, 320, 3)
    assert working_picture(encoded(Image.new("RGB", (720, 1280), (9, 200, 9)))).rgb.shape == (569, 320, 3)


def test_an_antonym_score_is_a_softmax_of_two_cosines():
    images = np.array([[1.0, 0.0], [0.0, 1.0], [np.nan, np.nan]])
    scores = antonym_score(images, np.array([1.0, 0.0]), np.array([0.0, 1.0]), 2.0)
    np.testing.assert_allclose(scores, [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2)), np.nan])


def test_title_match_is_the_cosine_of_each_pair_and_nan_stays_nan():
    images = np.array([[1.0, 0.0], [0.6, 0.8], [np.nan, np.nan]], np.float16)
    texts = np.array([[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]], np.float16)
    np.testing.assert_allclose(title_match(images, texts), [0, 1, np.nan], atol=1e-3)


def test_rank_gaussian_is_symmetric_shares_ties_and_leaves_gaps():
    scores = rank_gaussian(np.array([3.0, np.nan, 1.0, 2.0, 2.0]))
    assert scores[0] == pytest.approx(-scores[2])
    assert scores[3] == scores[4] == pytest.approx(0)
    assert np.isnan(scores[1])


def test_signals_are_means_over_the_measures_that_are_there():
    saliency, face = np.array([1.0, 2.0, 3.0, 4.0]), np.array([np.nan, 9.0, np.nan, 5.0])
    found = combine({"prominence.saliency.1": saliency, "prominence.face.1": face, "contrast.rms.1": face})
    column = SIGNALS.index("prominence")
    expected = rank_gaussian(saliency)
    assert found.values[0, column] == expected[0]
    assert found.values[1, column] == pytest.approx((expected[1] + rank_gaussian(face)[1]) / 2)
    assert found.coverage.tolist() == [0, 0.5, 1, 0, 0, 0]
    assert np.isnan(found.values[:, SIGNALS.index("clarity")]).all()
    with pytest.raises(KeyError):
        combine({"beauty.1": face})
    with pytest.raises(ValueError, match="no measure"):
        combine({})


def test_correlations_use_the_rows_that_both_have():
    rows = np.full((6, 6), np.nan)
    rows[:, 0] = [1, 2, 3, 4, 5, 6]
    rows[:5, 1] = [5, 4, 3, 2, 1]
    rows[:2, 2] = [1, 2]
    table = correlations(rows)
    assert table[0, 1] == table[1, 0] == pytest.approx(-1)
    assert np.isnan(table[0, 2])
    assert mean_off_diagonal(table) == pytest.approx(1)


def test_a_contact_sheet_has_two_rows_per_signal(scene: Image.Image):
    sheet = contact_sheet([scene] * 3, {"clarity": np.array([1, np.nan, 2.0]), "contrast": np.full(3, np.nan)}, count=2)
    assert sheet.size == (320, 4 * 104)
    assert np.asarray(sheet.crop((0, 14, 320, 104))).std() > 10
    assert np.asarray(sheet.crop((0, 2 * 104, 320, 4 * 104))).max() == 24
