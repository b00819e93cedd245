"""What a person sees in MLflow's user interface, in a real browser on a real server."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from diamond.results.number_text import written
from diamond.stats.least_units import MIN_BOOTSTRAP_UNITS
from tests.commands import STUDY, ablate, copy_home, environment, free_port, report, wait_until

CHROMIUM = shutil.which("chromium")
WAIT_MS = 120_000
"""A page takes a second or two on idle cores; the rest is for machines that are shared."""
NUM_PARTS = 3
"""Mean, lower bound and upper bound."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def home(smoke_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke study with so many starts that its numbers have intervals."""
    home = tmp_path_factory.mktemp("ui") / "home"
    copy_home(smoke_home, home, "frames", "denoiser", "reward_end", "inverse_dynamics")
    preset = home.parent / "more.toml"
    preset.write_text(f"""base = "smoke"

[settings]
references.num_starts = {MIN_BOOTSTRAP_UNITS}
rollouts.num_starts = {MIN_BOOTSTRAP_UNITS}
""")
    words = ("steps=1,3", "--preset", str(preset), "--game", "Boxing", "--until", "fidelity")
    ablate(home, *words, "--name", STUDY, page=True)
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """What `diamond ui` prints, once the server answers; it must end well when interrupted."""
    port = free_port()
    command = [sys.executable, "-m", "diamond", "ui", "--home", str(home)]
    log = home.parent / "ui.txt"
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
        )
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            wait_until(lambda: _listens(port, server), "the MLflow server")
            yield line.split()[2]
            server.terminate()
            assert server.wait(120) == 0, log.read_text()
            with pytest.raises(ProcessLookupError):
                os.killpg(server.pid, 0)  # no process of the server is left
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.stdout.close()


def _listens(port: int, server: "subprocess.Popen[str]") -> bool:
    assert server.poll() is None, "the server ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser that has never been at the place."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        yield page
        browser.close()


def opened(page: Page, link: Locator) -> Page:
    """Click a link of a description, which MLflow opens in a tab of its own."""
    with page.expect_popup() as popup:
        link.click()
    popup.value.set_default_timeout(WAIT_MS)
    return popup.value


def test_a_person_comes_from_the_address_to_answer_curves_and_report(
    home: Path, address: str, page: Page
) -> None:
    document = report(home)
    page.goto(address)
    expect(page.get_by_text("Each row is a study")).to_be_visible()
    page.get_by_role("link", name=STUDY).click()

    # The description: links, the answer, and below the fold tables.
    answers = [answer["found"]["head"] for answer in document["answers"]]
    for told in answers or [document["summary"]]:
        expect(page.get_by_role("paragraph").filter(has_text=told)).to_be_visible()
    page.get_by_text("Show more").click()
    table = page.locator("table", has_text="Core ratio, mean over")
    expect(table.locator("tbody tr")).to_have_count(len(document["arms"]))
    for arm, row in zip(document["arms"], table.locator("tbody tr").all(), strict=True):
        found = arm["metrics"]["core_ratio"]["mean"]
        expect(row.locator("td").nth(0)).to_have_text(arm["name"])
        expect(row.locator("td").nth(1)).to_have_text(
            "–" if found is None else written(found["mean"], found["lo"], found["hi"]).text
        )
    metrics = page.locator("table", has_text="L1 drift, foreground")
    shown = [
        metric
        for metric in document["metrics"]
        if any(arm["metrics"].get(metric["name"], {}).get("mean") for arm in document["arms"])
    ]
    expect(metrics.locator("tbody tr")).to_have_count(len(shown))
    expect(page.get_by_text(document["command"]).first).to_be_visible()

    # One plot: each arm with its bounds, and the baseline that has objects.
    curves = opened(page, page.get_by_role("link", name="curves of Core ratio"))
    lines = curves.locator(".js-plotly-plot .scatterlayer .trace")
    expect(lines.nth(2 * NUM_PARTS)).to_be_attached()
    expect(curves.locator(".js-plotly-plot")).to_have_count(1)
    for steps in (1, 3):
        for part in ("mean", "lower", "upper"):
            name = f"steps={steps} mean (fidelity/core_ratio/{part})"
            expect(curves.get_by_text(name, exact=True)).to_be_visible()

    # All metrics: a section each, with the bounds beside the mean.
    charts = opened(page, page.get_by_role("link", name="all metrics"))
    expect(charts.get_by_text("5 matching runs")).to_be_visible()
    figures = charts.get_by_role("figure")
    for metric in (one for one in shown if one["kind"] == "frame"):
        own = [arm["metrics"].get(metric["name"], {}).get("mean") for arm in document["arms"]]
        parts = NUM_PARTS if any(found and found["lo"] is not None for found in own) else 1
        section = re.compile(rf"fidelity/{metric['name']}\s*\({parts}\)")
        expect(figures.filter(has_text=section)).to_have_count(1)
    section = re.compile(rf"fidelity/core_ratio\s*\({NUM_PARTS}\)")
    figures.filter(has_text=section).scroll_into_view_if_needed()
    places = []
    for part in ("lower", "mean", "upper"):
        title = charts.get_by_role("heading", name=f"fidelity/core_ratio/{part}", exact=True)
        expect(title).to_be_visible()
        box = title.bounding_box()
        assert box is not None
        places.append((box["y"], box["x"]))
    assert places == sorted(places)
    assert len({y for y, _ in places}) == 1, "the three charts stand in one row"

    sheet = opened(page, page.get_by_role("link", name="the answer with films"))
    frame = sheet.frame_locator("iframe")
    expect(frame.get_by_text(document["question"]).first).to_be_visible()


def test_figures_open_in_the_viewer_of_artifacts(address: str, page: Page) -> None:
    page.goto(address)
    page.get_by_role("link", name=STUDY).click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("figures", exact=True).click()
    page.get_by_text("boxing-core_ratio.png").click()
    shown = page.locator("img[src^='blob:'], img[src*='boxing-core_ratio.png']").first
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.naturalWidth") > 0
