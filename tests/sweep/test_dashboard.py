"""`diamond ui --studies`: Optuna's dashboard on a home, in a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import optuna
import optuna_dashboard
import pytest
from playwright.sync_api import expect, sync_playwright
from typer.testing import CliRunner

from diamond.cli.app import app
from diamond.errors import ExitCode, RequestError
from diamond.studies.description import answer_paragraphs
from diamond.sweep.addresses import default_storage
from diamond.sweep.dashboard_links import dashboard_link, dashboard_study_link, dashboard_trial_link
from diamond.sweep.dashboard_note import note_sweep
from diamond.sweep.dashboard_server import bind_dashboard
from diamond.sweep.storage import open_storage
from tests.commands import environment, free_port
from tests.result_documents import answered_arms, result

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NAME = "sigma-and-steps"
WAIT_MS = 60_000
"""A page takes a second on idle cores; the rest is for machines that are shared."""


def test_the_note_of_a_sweep_has_question_answer_and_report(home: Path) -> None:
    storage = open_storage(default_storage(home))
    study = optuna.load_study(study_name=NAME, storage=storage)
    study_id = storage.get_study_id_from_name(NAME)
    paths = {"report_html": "/a home/report.html"}
    found = result(answered_arms() | {"question": "Which *one*?", "paths": paths})
    note_sweep(study, found)
    question, *answer, place = optuna_dashboard.get_note(study).split("\n\n")
    assert question == r"**Question:** Which \*one\*?"
    assert answer == list(answer_paragraphs(found))
    assert place == "**Report:** `/a home/report.html`"
    before = storage.get_study_system_attrs(study_id)
    note_sweep(study, found)
    assert storage.get_study_system_attrs(study_id) == before, "the same note is not written again"


def ui(*words: str) -> None:
    """The command in this process; what it raises is raised."""
    CliRunner().invoke(app, ["ui", *words], catch_exceptions=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one finished Optuna study: three trials, two objectives."""
    storage = open_storage(default_storage(tmp_path))
    study = optuna.create_study(
        storage=storage, study_name=NAME, directions=["maximize", "minimize"]
    )
    for number in range(3):
        trial = study.ask({"sigma": optuna.distributions.FloatDistribution(0.1, 1.5)})
        study.tell(trial, [0.25 + number, trial.params["sigma"]])
    return tmp_path


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(home: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    """The command, once it has said that it serves."""
    command = [sys.executable, "-m", "diamond", "ui", "--studies"]
    process = subprocess.Popen(
        [*command, "--home", str(home), "--port", str(port)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.communicate(timeout=60)[1])
        assert line.split()[2] == dashboard_link(port)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_a_person_sees_studies_and_trials_and_ends_it_with_ctrl_c(
    server: "subprocess.Popen[str]", home: Path, port: int
) -> None:
    study = optuna.load_study(study_name=NAME, storage=open_storage(default_storage(home)))
    trial = study.trials[1]
    with sync_playwright() as playwright:
        # The sandbox needs a user other than root; the page is our own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))

        page.goto(dashboard_link(port))
        link = page.get_by_role("link", name=NAME)
        expect(link).to_have_attribute("href", urlsplit(dashboard_study_link(study._study_id)).path)
        page.goto(dashboard_trial_link(study._study_id, trial.number, port))
        expect(
            page.get_by_text(f"Trial {trial.number} (trial_id={trial._trial_id})")
        ).to_be_visible()
        expect(page.get_by_text(f"{trial.values[0]}, {trial.values[1]}")).to_be_visible()
        expect(page.get_by_text(f"sigma {trial.params['sigma']}")).to_be_visible()
        assert complaints == []
        browser.close()
    server.send_signal(signal.SIGINT)
    said, complained = server.communicate(timeout=60)
    assert (server.returncode, said, complained) == (ExitCode.DONE, "", "")


def test_a_home_without_a_study_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no Optuna studies in .*\n  run one first"):
        ui("--home", str(tmp_path / "home"), "--studies")
    assert not list(tmp_path.iterdir())


def test_flags_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--tracking-uri has no place there\n  leave one"):
        ui("--home", str(tmp_path), "--studies", "--tracking-uri", "sqlite:///runs.db")
    with pytest.raises(RequestError, match="--storage is for --studies\n  add --studies"):
        ui("--home", str(tmp_path), "--storage", "all.journal")


def test_a_port_in_use_is_said(home: Path) -> None:
    storage = open_storage(default_storage(home))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(RequestError, match=r"port \d+ of 127.0.0.1 is in use\n.*--port 8090"):
            bind_dashboard(storage, other.getsockname()[1])
