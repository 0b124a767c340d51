"""One page through all stages, with the real models."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.documents import page as document

from ocrfarm_models.certainty import expected_error
from ocrfarm_models.engines import Engines
from ocrfarm_shared.contracts import Layout, OcrOptions, Page, ReadingOptions
from ocrfarm_worker.load import Limits, LoadedPage, load_page
from ocrfarm_worker.pipeline import read_page
from ocrfarm_worker.preprocess import is_line, prepare

SAMPLES = Path(__file__).parents[3] / "samples"
TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@pytest.fixture(scope="module")
def notes() -> LoadedPage:
    """The sample receipt's upper half: enough lines to vote on, few enough to be quick."""
    whole = load_page(SAMPLES / "receipt.jpg", None, 1, 200, Limits())
    return LoadedPage(np.ascontiguousarray(whole.image[:480]))


def label(text: str, size: int = 28) -> LoadedPage:
    """One line of text that fills its image."""
    face = ImageFont.load_default(size)
    left, top, right, bottom = face.getbbox(text)
    image = Image.new("RGB", (int(right - left) + 12, int(bottom - top) + 10), "white")
    ImageDraw.Draw(image).text((6 - left, 5 - top), text, fill="black", font=face)
    return LoadedPage(np.asarray(image)[:, :, ::-1].copy())


def read(page: LoadedPage, engines: Engines, layout: Layout = Layout.PAGE, **options: object) -> Page:
    return read_page(page, 1, OcrOptions(layout=layout, options=ReadingOptions(**options)), engines)


def middle(polygon: list[tuple[float, float]]) -> np.ndarray:
    return np.mean(polygon, axis=0)


def test_a_blank_page_has_no_lines(engines: Engines) -> None:
    page = read(LoadedPage(np.full((500, 400, 3), 255, np.uint8)), engines)
    assert page.lines == []
    assert page.language is None
    assert page.models == []
    assert (page.width, page.height) == (400, 500)


def test_what_a_page_holds(notes: LoadedPage, engines: Engines) -> None:
    page = read(notes, engines)
    assert page.text.splitlines()[:3] == [
        "THE PAPER LANTERN",
        "Tea, coffee & small talk",
        "17 Quince Lane, Harrow Bridge",
    ]
    assert (page.rotation, page.language) == (0, "en")
    assert set(page.timings_ms) == {"preprocess", "detect", "crop", "face", "recognize", "order"}
    assert page.models == [engines.recognizer.spec.id]
    for line in page.lines:
        corners = np.array(line.polygon)
        assert (corners >= 0).all()
        assert (corners <= (page.width, page.height)).all()
        assert "".join(word.text for word in line.words) == line.text.replace(" ", "")
        low, high = corners.min(axis=0) - 0.2, corners.max(axis=0) + 0.2
        for word in line.words:
            assert (np.array(word.polygon) >= low).all()
            assert (np.array(word.polygon) <= high).all()
            assert 0 < word.confidence <= 1
        starts = [word.polygon[0][0] for word in line.words]
        assert starts == sorted(starts)


def test_word_polygons_lie_on_the_words(engines: Engines) -> None:
    image = np.full((300, 700, 3), 255, np.uint8)
    drawn = Image.fromarray(image)
    pen, face = ImageDraw.Draw(drawn), ImageFont.load_default(36)
    places = {"alpha": 40, "bravo": 170, "charlie": 310}
    for word, x in places.items():
        pen.text((x, 120), word, fill="black", font=face)
    page = read(LoadedPage(np.asarray(drawn).copy()), engines)
    words = {word.text: word.polygon for line in page.lines for word in line.words}
    assert set(words) == set(places)
    for word, x in places.items():
        assert abs(words[word][0][0] - x) < 14
        assert abs(words[word][1][0] - (x + face.getlength(word))) < 14


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_page_reads_the_same(turn: int, notes: LoadedPage, engines: Engines) -> None:
    upright = read(notes, engines)
    turned = LoadedPage(cv2.rotate(notes.image, TURNS[turn]))
    page = read(turned, engines)
    assert page.text.casefold() == upright.text.casefold()  # a lone O is a near thing
    assert page.rotation == 360 - turn
    # Polygons are in pixels of the page as it was sent, and begin at the text's own top left.
    for line, other in zip(page.lines, upright.lines, strict=True):
        x, y = other.polygon[0]
        expected = {
            90: (notes.height - y, x),
            180: (notes.width - x, notes.height - y),
            270: (y, notes.width - x),
        }[turn]
        assert np.abs(np.array(line.polygon[0]) - expected).max() < 8


def test_orientation_can_be_switched_off(notes: LoadedPage, engines: Engines) -> None:
    page = read(LoadedPage(cv2.rotate(notes.image, cv2.ROTATE_180)), engines, orientation=False)
    assert page.rotation == 0
    assert "PAPER LANTERN" not in page.text


def test_one_line_on_its_head_among_others(notes: LoadedPage, engines: Engines) -> None:
    upright = read(notes, engines)
    target = np.array(upright.lines[2].polygon)
    (x0, y0), (x1, y1) = target.min(axis=0).astype(int), target.max(axis=0).astype(int)
    image = notes.image.copy()
    image[y0:y1, x0:x1] = image[y0:y1, x0:x1][::-1, ::-1]
    page = read(LoadedPage(image), engines)
    assert page.rotation == 0
    assert "17 Quince Lane, Harrow Bridge" in page.text


def test_min_confidence_leaves_lines_out(notes: LoadedPage, engines: Engines) -> None:
    every, sure = read(notes, engines, min_confidence=0), read(notes, engines, min_confidence=0.9995)
    assert len(sure.lines) < len(every.lines)
    assert all(line.confidence >= 0.9995 for line in sure.lines)


@pytest.mark.parametrize("layout", [Layout.LINE, Layout.AUTO])
def test_a_line_is_read_whole(layout: Layout, engines: Engines) -> None:
    strip = label("Invoice number 2024-0117")
    page = read(strip, engines, layout)
    assert page.text == "Invoice number 2024-0117"
    assert "detect" not in page.timings_ms
    assert page.lines[0].polygon == [(0, 0), (strip.width, 0), (strip.width, strip.height), (0, strip.height)]


def test_a_line_on_its_head(engines: Engines) -> None:
    strip = label("Invoice number 2024-0117")
    page = read(LoadedPage(cv2.rotate(strip.image, cv2.ROTATE_180)), engines, Layout.LINE)
    assert page.text == "Invoice number 2024-0117"
    assert page.lines[0].polygon[0] == (strip.width, strip.height)


def test_a_line_that_runs_down_its_image(engines: Engines) -> None:
    strip = label("Invoice number")
    for turn in (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE):
        assert read(LoadedPage(cv2.rotate(strip.image, turn)), engines, Layout.LINE).text == "Invoice number"


def test_a_strip_as_a_page(engines: Engines) -> None:
    page = read(label("Invoice number 2024-0117"), engines, Layout.PAGE)
    assert page.text == "Invoice number 2024-0117"
    assert all(0 <= y <= page.height for line in page.lines for _, y in line.polygon)


def test_a_strip_of_tens_of_thousands_of_pixels(engines: Engines) -> None:
    """Framed like a smaller one it would be 1.2 GB, and nothing of its text be left to the detector; one of millions, terabytes."""
    piece = np.asarray(document("Strip of paper 4711", width=900, height=160).convert("RGB").resize((562, 100)))
    strip = np.ascontiguousarray(np.tile(piece, (1, 71, 1))[:, :, ::-1])
    assert prepare(strip).image is strip
    page = read(LoadedPage(strip), engines)
    assert page.text.count("paper 4711") > 60
    blank = np.full((1, 3_000_000, 3), 255, np.uint8)
    assert read(LoadedPage(blank), engines).lines == []


def stacked(*texts: str) -> np.ndarray:
    """Lines set one above the other."""
    parts = [label(text).image for text in texts]
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in parts])


def test_what_is_plainly_a_line() -> None:
    for text in ("Invoice number 2024-0117", "gypsy", "l", "= — ="):
        image = label(text).image
        assert is_line(image) is (image.shape[1] >= 2 * image.shape[0])
    assert not is_line(stacked("Invoice number 2024-0117", "Paid with thanks"))
    assert not is_line(stacked("Invoice number 2024-0117", "ok"))
    assert not is_line(np.zeros((300, 400, 3), np.uint8))
    assert not is_line(np.zeros((200, 2000, 3), np.uint8))


def test_auto_reads_two_rows_as_a_page(engines: Engines) -> None:
    page = read(LoadedPage(stacked("Invoice number 2024-0117", "Paid with thanks")), engines, Layout.AUTO)
    assert page.text == "Invoice number 2024-0117\nPaid with thanks"


def test_a_low_page_of_a_pdf_is_a_page(engines: Engines) -> None:
    page = read(LoadedPage(label("Invoice number 2024-0117").image, dpi=200), engines, Layout.AUTO)
    assert "detect" in page.timings_ms


def test_a_fault_is_no_empty_text(notes: LoadedPage, engines: Engines) -> None:
    class Broken:
        def read(self, crops: object, **how: object) -> list[object]:
            raise RuntimeError("the session is gone")

    with pytest.raises(RuntimeError, match="gone"):
        read(notes, dataclasses.replace(engines, recognizer=Broken()))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 900), (900, 3)])
@pytest.mark.parametrize("layout", list(Layout))
def test_tiny_images_are_read_without_a_fault(size: tuple[int, int], layout: Layout, engines: Engines) -> None:
    page = read(LoadedPage(np.full((*size, 3), 200, np.uint8)), engines, layout)
    assert (page.height, page.width) == size


@pytest.mark.slow
def test_what_eight_bits_are_unsure_of_is_read_again_in_full(engines_int8: Engines, engines: Engines) -> None:
    clear = label("Invoice number 2024-0117")
    assert read(clear, engines_int8, Layout.LINE).models == ["ppocrv6-rec-int8"]
    tiny = (cv2.resize(clear.image, None, fx=s, fy=s, interpolation=cv2.INTER_AREA) for s in np.arange(0.4, 0.1, -0.02))
    doubtful = next(image for image in tiny if engines_int8.recognizer.read([image])[0].confidence < 0.95)
    page = read(LoadedPage(doubtful), engines_int8, Layout.LINE, min_confidence=0)
    assert page.models == ["ppocrv6-rec"]
    assert page.text == read(LoadedPage(doubtful), engines, Layout.LINE, min_confidence=0).text


@pytest.mark.slow
def test_a_cascade_says_which_model_read_each_line(engines_balanced: Engines, engines_int8: Engines) -> None:
    strips = ["Total amount", "Invoice number 2024-0117", "Paid with thanks", "12.50"]
    page = LoadedPage(stacked(*strips, "≥ ½ ∅ ∂"))
    balanced, plain = read(page, engines_balanced), read(page, engines_int8)
    assert {line.model for line in balanced.lines} >= {"crnn-en"}
    assert {line.model for line in plain.lines}.isdisjoint({"crnn-en"})
    reader = engines_balanced.first[0]
    for line in balanced.lines:
        if line.model == "crnn-en":
            assert line.certainty is not None
            # The line on the wire is rounded to four places.
            wrong = expected_error(line.certainty, len(line.text), reader.recognizer.spec.certainty)
            assert wrong <= reader.error + 1e-4
        else:
            assert line.certainty is None
    assert [line.text for line in balanced.lines][:4] == strips


@pytest.mark.slow
def test_a_page_in_another_script_goes_to_the_large_model(engines_balanced: Engines, engines_int8: Engines) -> None:
    notice = load_page(SAMPLES / "notice-zh.png", None, 1, 200, Limits())
    balanced = read(notice, engines_balanced)
    assert "crnn-en" not in balanced.models
    assert balanced.text == read(notice, engines_int8).text


@pytest.mark.slow
def test_one_line_alone_goes_through_the_cascade(engines_balanced: Engines) -> None:
    assert read(label("Total amount"), engines_balanced, Layout.LINE).models == ["crnn-en"]
    head = LoadedPage(cv2.rotate(label("Total amount").image, cv2.ROTATE_180))
    page = read(head, engines_balanced, Layout.LINE)
    assert page.text == "Total amount"
    assert page.models != ["crnn-en"]
