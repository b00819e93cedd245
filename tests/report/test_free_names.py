"""Names are data: brackets, stars and the like show as they are in every medium."""

import io
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from diamond.cli import widths as terminal
from diamond.cli.progress import ProgressView
from diamond.errors import ExitCode
from diamond.report.console import result_table
from diamond.report.figures.figure_style import figure_bytes, plain, settings
from diamond.report.latex import escape as latex
from diamond.report.page import write_report
from diamond.report.terminal import terminal as laid_out
from diamond.studies.description import Shown, study_description
from diamond.tracking.literal_markdown import code, escape
from diamond.workers.executor import StageEvent
from tests.commands import client, copy_home, diamond, smoke_plan, tracked
from tests.result_documents import films_of, result, three_arms

NASTY = (
    "ours [v1]",
    "b[/x]",
    "[bold]loud[/bold] :smile:",
    "_a_ *b* ~~c~~ `d` \\e",
    "1. <i>&amp;</i> & \"q\" 's'",
    "100% #1 $x_1^2$ {y} ~ \\end{tabular}",
    "</script><script>alert(1)</script>",
    "![i](x) [l](http://h)",
    "{{ 7*7 }} {% raw %}",
    "- 5 \\$ \\( `` $",
)
SPECIAL = re.compile(
    r"\\(?:textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar"
    r"|textasciigrave)\{\}|\\[{}$&%#_]|\{[\[*]\}|\$\\(?:uparrow|downarrow|diamond)\$|\\textbf(?=\{)"
)


def named(names: Sequence[str]) -> dict[str, Any]:
    """A document of three arms, of which two have other names."""
    text = json.dumps(three_arms())
    old = [arm["name"] for arm in three_arms()["arms"] if arm["kind"] == "arm"]
    for before, after in zip(old, names, strict=False):
        text = text.replace(json.dumps(before), json.dumps(after))
    document: dict[str, Any] = json.loads(text)
    document["metrics"] = [row | {"kind": "frame"} for row in document["metrics"]]
    summary = f"{names[0]} is better than {names[1]}."
    question = f"How do {' and '.join(names)} differ?"
    return document | {"declaration": None, "summary": summary, "question": question}


class _Page(HTMLParser):
    """The texts of a page, and what its scripts hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._within = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts[-1] += data
        elif self._within != "style":
            self.texts.append(data)


PAIRS = [NASTY[index : index + 2] for index in range(0, len(NASTY), 2)]


@pytest.mark.parametrize("names", [(" ".join(NASTY[1:6]), " ".join([NASTY[9], *NASTY[6:9]]))])
def test_a_page_shows_names_as_they_are(names: tuple[str, str], tmp_path: Path) -> None:
    document = named(names)
    paths = write_report(result(document), [], tmp_path, films_of(document))
    page = _Page(paths.html.read_text())
    for name in names:
        assert page.texts.count(name) > 5
    assert document["summary"] in page.texts
    curve, player = sorted((json.loads(t) for t in page.scripts if t.startswith("{")), key=len)
    assert {series["name"] for series in curve["series"]} >= set(names)
    assert {track["name"] for start in player["starts"] for track in start["tracks"]} >= set(names)

    rendered = _Page(MarkdownIt("commonmark").enable("table").render(paths.markdown.read_text()))
    text = "".join(rendered.texts)
    # GitHub's dialect: a dollar sign would begin a formula.
    assert "".join(page.texts).count("alert(1)") >= text.count("alert(1)")
    for name in names:
        assert rendered.texts.count(name) + rendered.texts.count(name + " ") > 5
    assert document["summary"] in text
    for path in paths.tables:
        rest = SPECIAL.sub("", "\n".join(re.findall(r"^.* & .*$", path.read_text(), re.MULTILINE)))
        assert not re.search(r"[#%_^~`|<>]|\\(?!\\)(?! )", rest.replace(r"\\", "")), path


@pytest.mark.parametrize("names", PAIRS)
def test_the_text_of_a_study_in_mlflow_shows_names_as_they_are(names: tuple[str, str]) -> None:
    document = named(names)
    document["command"] = f"diamond ablate --arm '{names[0]}: steps=1' --arm '{names[1]}: steps=2'"
    shown = Shown("1", "f00", {game: ["r"] for game in document["games"]}, frozenset())
    text = study_description(result(document), shown)
    rendered = _Page(MarkdownIt("commonmark").enable("table").render(text))
    assert document["summary"] in rendered.texts
    assert f" {document['question']}" in rendered.texts
    assert document["command"] in rendered.texts
    for name in names:
        assert rendered.texts.count(name) >= 2  # a row of one table, a column of the other


def test_text_in_markdown_is_what_it_was() -> None:
    for name in NASTY:
        for text, before in ((escape(name), ""), (escape(name), "- "), (code(name), "")):
            page = _Page(MarkdownIt("commonmark").render(before + text))
            assert "".join(page.texts).strip() == name


@pytest.mark.parametrize("name", NASTY)
def test_a_name_in_a_figure_is_no_mathematics(name: str) -> None:
    def drawn(text: str, parse_math: bool) -> bytes:
        with matplotlib.rc_context(settings()):
            figure = Figure()
            figure.text(0.1, 0.5, text, parse_math=parse_math)
        return figure_bytes(figure, "png")

    assert drawn(plain(name), True) == drawn(name, False)


@pytest.mark.parametrize("name", NASTY)
def test_a_name_in_latex_does_nothing(name: str) -> None:
    assert not re.search(r"[\\{}$&%#_^~<>|`\[*]", SPECIAL.sub("", latex(name)))


def test_the_terminal_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in PAIRS:
        stream = io.StringIO()
        monkeypatch.setattr("sys.stdout", stream)
        document = named(names)
        out = terminal.console()
        out.print(laid_out(result_table(result(document), document["games"][0]), out.width))
        spec = smoke_plan().stages()[0]
        view = ProgressView({spec.key: names[0]}, out)
        for event in (
            StageEvent("started", spec),
            StageEvent("progress", spec, done=1, total=2, note=names[1]),
            StageEvent("failed", spec, note=names[1], trace=names[1]),
        ):
            view.show(event)
        text = re.sub(r"\s+", " ", stream.getvalue())
        for name in names:
            assert name in text
        assert f"{names[0]}: starts" in text
        assert f"{names[0]}: FAILED: {names[1]}" in text


@pytest.mark.slow
def test_a_study_with_nasty_names_runs_and_is_shown(smoke_home: Path, tmp_path: Path) -> None:
    home = copy_home(smoke_home, tmp_path / "h[/red]")
    arms = ("--arm", "ours [v1]: steps=1", "--arm", "b[/x]: steps=3")
    done = diamond("ablate", *arms, "--preset", "smoke", "--name", "mine", "--home", str(home))
    assert done.returncode == ExitCode.DONE, done.stderr
    texts = {"ablate": done.stdout, "plan": done.stderr}
    for command in (("show", "mine"), ("studies",), ("report", "mine"), ("gc",)):
        again = diamond(*command, "--home", str(home))
        assert again.returncode == ExitCode.DONE, again.stderr
        texts[command[0]] = again.stdout
    for where in ("ablate", "plan", "show"):
        assert "ours [v1]" in texts[where], where
        assert "b[/x]" in texts[where], where
    for where in ("ablate", "show", "studies", "report"):
        assert "h[/red]" in re.sub(r"\s+", "", texts[where]), where
    names = {run.info.run_name for run in tracked(home)}
    assert "b[/x] seed 0" in names
    (study,) = (run for run in tracked(home) if run.data.tags["diamond.kind"] == "study")
    assert r"ours \[v1\]" in study.data.tags["mlflow.note.content"]
    assert client(home).list_artifacts(study.info.run_id)


def test_an_arm_whose_name_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    arms = ("--arm", "a\x1b[31m: steps=1", "--arm", "b: steps=3")
    done = diamond("ablate", *arms, "--preset", "smoke", "--home", str(tmp_path / "home"))
    assert done.returncode == ExitCode.BAD_REQUEST
    assert "cannot be shown" in done.stderr
    assert "\x1b" not in done.stderr
    assert not list(tmp_path.iterdir())
