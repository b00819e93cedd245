"""The commands that README and docs show work as written, at the size of `smoke`."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from diamond.config.metric_table import RESULT_METRICS
from tests.commands import ROOT, diamond

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
OWN_GAME = re.compile(r"`my_game\.py`:\n\n```python\n(?P<code>.*?)```", re.DOTALL)
STUDIES = ("ablate", "train", "sweep")
FIRST = "ablate steps=1,3,10"
SHOWN = re.compile(r"^ {4}(?:.*&& )?diamond (?P<arguments>[^#&\n]*)", re.MULTILINE)


def _shown_commands() -> list[str]:
    found = (match["arguments"].strip() for page in PAGES for match in SHOWN.finditer(_text(page)))
    return sorted(set(found))


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(toy_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One working directory for all commands, as a reader has who tries one after the other.

    The toy family is installed, as docs/families.md says, the game of docs/own-game.md is written
    down, and the declarations are there, as in a clone.
    """
    reader = tmp_path_factory.mktemp("reader")
    (reader / "ablations").symlink_to(ROOT / "ablations")
    game = OWN_GAME.search(_text(ROOT / "docs" / "own-game.md"))
    assert game is not None
    (reader / "my_game.py").write_text(game["code"], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(toy_site), str(reader)]))
        yield reader


def test_there_are_commands_to_execute() -> None:
    assert {"ablate steps=1,3,10", "axes", "ui"} <= set(_shown_commands())


@pytest.mark.parametrize(
    "shown", [shown for shown in _shown_commands() if shown.split()[0] != "ui"]
)
def test_a_command_of_the_docs_is_right(shown: str, folder: Path) -> None:
    """Studies are planned here: all that a command asks is read and checked; one is made."""
    more = ["--dry-run"] if shown.split(maxsplit=1)[0] in STUDIES and shown != FIRST else []
    _works(shown, folder, *more)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shown", [shown for shown in _shown_commands() if shown.split()[0] in STUDIES]
)
def test_a_study_of_the_docs_is_made(shown: str, folder: Path) -> None:
    _works(shown, folder)


def _works(shown: str, folder: Path, *more: str) -> None:
    arguments = [*shlex.split(shown), *more]
    if arguments[0] in STUDIES and "--preset" not in arguments:
        arguments += ["--preset", "smoke"]
    if arguments[0] == "sweep":
        arguments += ["--trials", "2"]
    done = diamond(*arguments, cwd=folder, page=shown == FIRST)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_services_of_docker_are_those_that_the_page_starts_by_hand() -> None:
    """The tests of those are in tests/sweep/test_postgresql.py; these are only read."""
    folder = ROOT / "docs"
    page = _text(folder / "cluster.md")
    compose = yaml.safe_load(_text(folder / "cluster" / "compose.yaml"))
    database, server = compose["services"]["postgres"], compose["services"]["mlflow"]
    image = re.search(r"^FROM (.*)$", server["build"]["dockerfile_inline"], re.MULTILINE)
    assert image is not None
    assert re.fullmatch(r"postgres:\d+", database["image"])
    assert re.fullmatch(r"ghcr\.io/mlflow/mlflow:v3\.\d+\.\d+", image[1])
    assert "psycopg" in server["build"]["dockerfile_inline"]
    for service, port in ((database, 5432), (server, 5000)):
        assert service["ports"] == [f"{port}:{port}"]
        assert f"port {port}" in page
        assert service["healthcheck"]["test"][0] == "CMD"
        (volume,) = service["volumes"]
        assert volume.partition(":")[0] in compose["volumes"]
    assert server["depends_on"]["postgres"]["condition"] == "service_healthy"
    for variables in (database["environment"], server["environment"]):
        secrets = [text for name, text in variables.items() if "PASSWORD" in name]
        assert all(text.startswith("${PGPASSWORD:?") for text in secrets) and secrets
    (by_hand,) = re.findall(r"^mlflow server (.*)$", page, re.MULTILINE)
    words = shlex.split(by_hand)
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert server["command"][:2] == ["mlflow", "server"]
    in_docker = dict(word.split("=", 1) for word in server["command"][2:])
    assert in_docker.keys() == options.keys()
    assert in_docker["--backend-store-uri"] == options["--backend-store-uri"].replace(
        "@services/", "@postgres/"
    )
    destination = server["volumes"][0].partition(":")[2]
    assert in_docker["--artifacts-destination"] == destination
    assert in_docker["--port"] == options["--port"] and in_docker["--host"] == options["--host"]
    made = re.findall(r"^sudo -u postgres createdb .* (\w+)$", page, re.MULTILINE)
    given = [database["environment"]["POSTGRES_DB"]]
    given += re.findall(r"CREATE DATABASE (\w+);", compose["configs"]["optuna"]["content"])
    assert given == made
    assert database["configs"][0]["source"] == "optuna"


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_a_link_of_the_docs_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", _text(page))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_glossary_is_sorted_and_defines_a_word_once_in_two_sentences() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", _text(ROOT / "docs" / "glossary.md"), re.MULTILINE)
    words = [word.casefold() for word, _ in rows[1:]]
    assert words == sorted(set(words))
    assert {"fidelity", "holm", "interval", "iou", "psnr", "seed", "ssim", "survival"} <= {*words}
    long = [word for word, meaning in rows if len(re.findall(r"[.?!](?= [A-Z]|$)", meaning)) > 2]
    assert long == []


def test_a_metric_has_one_anchor_of_its_own() -> None:
    anchors = re.findall(r'<a id="(\w+)"></a>', _text(ROOT / "docs" / "metrics.md"))
    assert sorted(anchors) == sorted(set(anchors))
    assert {metric.name for metric in RESULT_METRICS} <= set(anchors)
