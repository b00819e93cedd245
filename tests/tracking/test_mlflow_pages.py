"""The answer of a study in MLflow's pages, as a browser shows it that never was there."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from diamond.engine.home import open_home
from diamond.studies.description import Shown, best_lines, study_links
from diamond.studies.study_runs import tracked_study
from diamond.tracking.mlflow_store import open_store
from diamond.tracking.uris import default_uri
from tests.commands import environment, free_port, wait_until
from tests.result_documents import answered_arms, result

CHROMIUM = shutil.which("chromium")
WAIT_MS = 120_000
"""A page takes a second or two on idle cores; the rest is for machines that are shared."""
LINKS = ("the answer with films", "curves of Core ratio", "all metrics")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home whose store shows one study with its answer, and the link to it."""
    folder = tmp_path_factory.mktemp("home")
    outcome = result(answered_arms())
    store = open_store(default_uri(folder), open_home(folder))
    shown = Shown(store.experiment_id, "", {"Boxing": ["r1"]}, frozenset({"report.html"}))
    page = folder / "report.html"
    page.write_text("<p>the report</p>")
    files = {page.name: page}
    run_id = store.write_study(tracked_study(outcome, files, "FINISHED", shown))
    shown = Shown(store.experiment_id, run_id, shown.compared, shown.files)
    store.write_study(tracked_study(outcome, files, "FINISHED", shown))
    return folder, study_links(outcome, shown)["answer"]


@pytest.fixture(scope="module")
def address(study: tuple[Path, str]) -> Iterator[str]:
    """The address that `diamond ui` prints, once its server answers."""
    port = free_port()
    command = [sys.executable, "-m", "diamond", "ui", "--home", str(study[0])]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    try:
        printed = next(word for word in server.stdout.readline().split() if "://" in word)

        def answers() -> bool:
            assert server.poll() is None, "the server ended"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(answers, "the MLflow server")
        yield printed
    finally:
        server.terminate()
        server.communicate(timeout=120)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        yield page
        browser.close()


def check_answer(page: Page) -> None:
    """Best arm, interval and number of starts are seen, and the links lie under no fade."""
    (told,) = best_lines(result(answered_arms()))
    assert told.startswith("best: steps=3, Core ratio 0.")
    assert told.endswith(", n = 12 starts)")
    best = page.get_by_text(told.replace("best", "Best", 1), exact=True)
    expect(best).to_be_in_viewport(ratio=1)
    best.click(trial=True)
    for name in LINKS:
        link = page.get_by_role("link", name=name)
        expect(link).to_be_in_viewport(ratio=1)
        link.click(trial=True)


def test_the_printed_link_shows_best_arm_interval_and_number_without_a_click(
    study: tuple[Path, str], address: str, page: Page
) -> None:
    page.goto(f"{address.partition('#')[0]}{study[1]}")
    check_answer(page)
    for arm in ("steps 1", "steps 3", "steps 10"):
        expect(page.get_by_text(f"_primary/core_ratio/{arm}", exact=True)).to_be_in_viewport()


def test_the_table_of_studies_tells_the_result_and_leads_to_it(address: str, page: Page) -> None:
    page.goto(address)
    (told,) = best_lines(result(answered_arms()))
    expect(page.get_by_text(told, exact=True)).to_be_in_viewport(ratio=1)
    page.get_by_role("link", name=result(answered_arms()).study).click()
    check_answer(page)
