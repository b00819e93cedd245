"""The page of a report in a real browser: it loads, plays, sorts, fits small and dark screens."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from diamond.report.page import write_report
from diamond.studies.compared_frames import Film
from tests.result_documents import (
    HORIZON,
    curve_of,
    films_of,
    result,
    seeded,
    strips_of,
    survival_row,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs the browser Chromium, which is not on the path"
)
SIZES = [(400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")]


@pytest.fixture(scope="module")
def films() -> list[Film]:
    return films_of(seeded())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, films: list[Film]) -> Path:
    """The page of a study with everything that a report can show."""
    doc = seeded() | {"survival": [survival_row("steps=1", 91.0), survival_row("steps=3", None)]}
    folder = tmp_path_factory.mktemp("report")
    return write_report(result(doc), strips_of(doc), folder, films).html


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox needs a user other than root; the page is our own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Seen:
    """A page with what it complained about and asked for."""

    def __init__(self, browser: Browser, source: Path, **options: Any) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(source.as_uri())


@pytest.fixture
def page(browser: Browser, source: Path) -> Iterator[Page]:
    seen = Seen(browser, source, viewport={"width": 1400, "height": 900})
    expect(seen.page.locator("[data-part=l1-1]")).not_to_be_empty()
    yield seen.page
    seen.context.close()
    assert seen.complaints == []


def step_of(page: Page) -> int:
    text = page.text_content("[data-part=step]") or ""
    return int(text.removeprefix("t = ").split()[0])


def pixels(page: Page, view: str) -> np.ndarray[Any, np.dtype[np.int16]]:
    """RGB of a canvas of the player."""
    script = (
        "view => { const c = document.querySelector(`canvas[data-view=${view}]`);"
        "return [c.height, c.width, Array.from(c.getContext('2d').getImageData(0, 0, c.width,"
        " c.height).data)]; }"
    )
    height, width, values = page.evaluate(script, view)
    return np.array(values, np.int16).reshape(height, width, 4)[..., :3]


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_the_page_loads_alone_fits_the_screen_and_follows_the_scheme(
    browser: Browser, source: Path, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 900}
    seen = Seen(browser, source, viewport=size, color_scheme=scheme)
    expect(seen.page.locator("[data-part=l1-1]")).not_to_be_empty()
    for details in seen.page.locator("details").all():
        details.evaluate("one => { one.open = true; }")
    assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert seen.page.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
    ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 27)"}[scheme]
    # A figure follows the scheme too: its corner is its ground.
    import cv2

    shot = seen.page.locator(".paper img").first.screenshot()
    image = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    corner = float(image[2:8, 2:8].mean())
    assert corner == 255 if scheme == "light" else corner < 40
    seen.context.close()
    assert seen.complaints == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [source.as_uri()]


def test_the_player_plays_and_stops(page: Page) -> None:
    play = page.locator("[data-part=play]")
    assert step_of(page) == 1
    page.select_option("[data-part=speed]", "30")
    play.click()
    expect(page.locator("[data-part=step]")).to_have_text(re.compile(r"t = ([4-9]|\d\d+) of"))
    assert play.text_content() == "Pause"
    play.click()
    stopped = step_of(page)
    page.wait_for_timeout(200)
    assert step_of(page) == stopped > 3
    assert play.text_content() == "Play"


def test_the_player_steps_scrubs_and_listens_to_keys(page: Page) -> None:
    page.click("[data-part=forwards]")
    page.click("[data-part=forwards]")
    page.click("[data-part=back]")
    assert step_of(page) == 2
    page.locator("[data-part=scrub]").fill("41")
    assert step_of(page) == 42
    page.locator("[data-part=scrub]").focus()
    for key, expected in (("ArrowRight", 43), ("ArrowLeft", 42), ("End", HORIZON), ("Home", 1)):
        page.keyboard.press(key)
        assert step_of(page) == expected
    page.keyboard.press("k")
    expect(page.locator("[data-part=play]")).to_have_text("Pause")
    page.keyboard.press(" ")
    expect(page.locator("[data-part=play]")).to_have_text("Play")


def test_the_player_shows_the_chosen_frames_and_their_error(page: Page, films: list[Film]) -> None:
    page.select_option("[data-part=start]", label="start 1")
    page.select_option("[data-part=a]", label="steps=10")
    page.locator("[data-part=scrub]").fill("6")
    rows = {name: frames[6].astype(np.int16) for name, frames in films[1].rows}
    names = page.locator(".player .views figcaption").all_text_contents()
    drift = np.abs(rows["real"] - rows["steps=10"]).mean() / 255
    assert names[3] == f"steps=10 L1 {drift:.4f}"
    for place, name in enumerate(names):
        assert np.array_equal(pixels(page, f"track-{place}"), rows[name.split(" L1 ")[0]])
    expected = np.minimum(255, 4 * np.abs(rows["real"] - rows["steps=10"]))
    assert np.array_equal(pixels(page, "error-a"), expected)
    assert page.text_content("[data-part=action]") == "action LEFT"
    assert page.text_content("[data-part=reward]") == "reward 1"
    page.locator("[data-part=scrub]").fill("95")
    assert "the real episode has ended" in (page.text_content("[data-part=step]") or "")
    assert page.text_content("[data-part=l1-3]") == "not scored"
    assert page.text_content("[data-part=action]") == page.text_content("[data-part=reward]") == ""


def test_the_curve_tells_values_hides_arms_and_leads_the_player(page: Page) -> None:
    plot = page.locator(".plot")
    picture = plot.locator("svg").first
    page.locator("[data-part=scrub]").fill("41")
    assert plot.locator("output").text_content() == "Values at t = 42."
    assert plot.locator(".now").get_attribute("visibility") == "visible"
    box = picture.bounding_box()
    assert box is not None
    edge: Any = {"x": box["width"] - 1, "y": box["height"] / 2}  # the last time step
    picture.hover(position=edge)
    assert plot.locator("output").text_content() == f"Values at t = {HORIZON}."
    last = curve_of("core_ratio", 0.57, 0.05 * len("steps=1") % 0.1)
    told = " ".join(f"{last[part][-1]:.3f}" for part in ("mean", "lo", "hi"))
    value = plot.locator(".legend .value").first.text_content() or ""
    assert re.findall(r"[\d.]+", value) == told.split()
    picture.click(position=edge)
    assert step_of(page) == HORIZON
    entry = plot.locator(".legend button", has_text="steps=3")
    line = plot.locator("g[data-arm='1'] .line")
    assert line.is_visible()
    entry.click()
    assert not line.is_visible()
    entry.click()
    assert line.is_visible()


def test_the_first_screen_has_the_best_arm_its_interval_and_n(
    browser: Browser, tmp_path: Path
) -> None:
    part = {"head": "steps=3 is the sharpest.", "text": "0.090 (0.070 to 0.110), n = 12 starts."}
    answer = {"game": "Boxing", "best": "steps=3"} | dict.fromkeys(
        ("found", "against", "sure"), part
    )
    doc = seeded() | {"answers": [answer], "warning": "A warning. " * 20}
    doc |= {"next": ["diamond ablate steps=1,3,10 --seeds 6"]}
    paths = write_report(result(doc), strips_of(doc), tmp_path, films_of(doc))
    seen = Seen(browser, paths.html, viewport={"width": 1400, "height": 900})
    for text in ("steps=3 is the sharpest.", "0.070 to 0.110", "n = 12 starts", "--seeds 6"):
        box = seen.page.get_by_text(text).first.bounding_box()
        assert box is not None
        assert 0 <= box["y"] < box["y"] + box["height"] < 900
    assert seen.page.locator(".answer strong").first.text_content() == part["head"]
    for link in seen.page.locator("nav a").all():
        link.click()
        place = (link.get_attribute("href") or "").removeprefix("#")
        assert seen.page.locator(f"[id='{place}']").is_visible()
    seen.context.close()
    assert seen.complaints == []


def test_print_shows_all_that_is_folded_and_strips_instead_of_the_player(page: Page) -> None:
    folded = page.locator("details table").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.is_visible()
    assert not page.locator(".player").is_visible()
    assert page.locator(".film img").first.is_visible()


def test_a_divergence_marker_leads_to_its_time_step(page: Page) -> None:
    # Random frames are above the threshold from the first time step on.
    page.locator("[data-part=scrub]").fill("41")
    mark = page.locator(".mark-a").last
    assert "L1 above 0.08, first at t=1" in (mark.get_attribute("title") or "")
    mark.click()
    assert step_of(page) == 1


def test_tables_sort_by_click_and_by_keyboard(page: Page) -> None:
    table = page.locator("table.sortable", has=page.get_by_role("button", name="mean of t")).first
    heading = table.locator("thead th").last

    def column() -> list[float]:
        cells = table.locator("tbody tr td:last-child").all()
        return [float(cell.evaluate("one => one.firstChild.textContent")) for cell in cells]

    before = column()
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column() == sorted(before) != before
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert column() == sorted(before, reverse=True)
    table.locator("thead th button").first.click()
    assert heading.get_attribute("aria-sort") == "none"
    names = table.locator("tbody th").all_text_contents()
    # Numbers inside names count as numbers: steps=3 before steps=10.
    assert names.index("steps=3") < names.index("steps=10")


def test_what_is_absent_is_sorted_last_both_ways(page: Page) -> None:
    table = page.locator("table.sortable").first
    heading = table.get_by_role("button", name="NFE")
    for _ in range(2):
        heading.click()
        last = table.locator("tbody tr").last.locator("td").last
        assert (last.text_content() or "").startswith("–")


def test_without_scripts_tables_and_strips_are_there(browser: Browser, source: Path) -> None:
    seen = Seen(browser, source, java_script_enabled=False)
    assert seen.page.locator(".film img").first.is_visible()
    assert seen.page.locator(".plot svg .line").first.is_visible()
    assert seen.page.locator("table").first.is_visible()
    assert not seen.page.locator(".player").is_visible()
    assert seen.page.get_by_text("The player needs JavaScript").is_visible()
    seen.context.close()
