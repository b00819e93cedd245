"""`diamond scores`: what it prints and writes, and what it refuses without writing anything."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diamond.cli.app import app
from diamond.config.game_names import GAMES
from diamond.config.published_scores import published
from diamond.errors import DiamondError, ExitCode
from diamond.report.latex import escape
from tests.commands import diamond

GOOD = '{"Boxing": [81.2, 88.0], "Pong": [20.1, 19.4]}'


def write(path: Path, scores: Mapping[str, Sequence[float]]) -> str:
    path.write_text(json.dumps(scores))
    return str(path)


def noisy(agent: str, num_runs: int, seed: int) -> dict[str, list[float]]:
    """Runs that scatter around the published scores of an agent."""
    rng = np.random.default_rng(seed)
    return {
        game: [score + 0.1 * abs(score) * rng.normal() for _ in range(num_runs)]
        for game, score in published().agents[agent].scores.items()
    }


def run(*arguments: str) -> None:
    """The command inside this process: starting Python costs more than the command."""
    app(["scores", *arguments], standalone_mode=False)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    run(*arguments, "--json", "--resamples", "200")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refusal(*arguments: str) -> str:
    with pytest.raises(DiamondError) as caught:
        run(*arguments)
    assert caught.value.exit_code == ExitCode.BAD_REQUEST
    return re.sub(r"\s+", " ", str(caught.value))


REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "not JSON": ('{"Boxing": [1,', ("it is not JSON", "line 1, column", "such as")),
    "empty file": ("", ("it is not JSON",)),
    "nested too deeply": ("[" * 100_000, ("it is not JSON that can be read",)),
    "a number too long": ('{"Pong": [' + "9" * 5000 + "]}", ("it is not JSON that can be read",)),
    "a list": ("[1, 2]", ("it holds a list, not an object of games",)),
    "a text": ('"Boxing"', ("it holds the text 'Boxing', not an object",)),
    "no game": ("{}", ("it holds no game",)),
    "unknown game": (
        '{"Boxin": [1.0]}',
        ("unknown game 'Boxin'", "Did you mean 'Boxing'?", *GAMES, "mend the name in"),
    ),
    "a game twice": ('{"Pong": [1], "Pong": [2]}', ("it names 'Pong' twice",)),
    "no list": ('{"Pong": 20.1}', ("Pong holds the number 20.1, not a list",)),
    "no run": ('{"Pong": []}', ("Pong has no score",)),
    "a text for a score": ('{"Pong": [1, "2"]}', ("score 2 of Pong is the text '2'",)),
    "null for a score": ('{"Pong": [null]}', ("score 1 of Pong is null",)),
    "a truth value": ('{"Pong": [true]}', ("score 1 of Pong is true, not a number",)),
    "not a number": ('{"Pong": [NaN]}', ("score 1 of Pong is nan, not a finite number",)),
    "infinity": ('{"Pong": [1, -Infinity]}', ("score 2 of Pong is -inf",)),
    "overflow": ('{"Pong": [1e999]}', ("score 1 of Pong is inf",)),
    "beyond any game": ('{"Pong": [1e300]}', ("score 1 of Pong is beyond 1e+12",)),
    "an integer beyond floats": ('{"Pong": [1' + "0" * 400 + "]}", ("beyond 1e+12",)),
    "unequal runs": (
        '{"Boxing": [1, 2], "Pong": [1, 2, 3], "Alien": [4, 5]}',
        ("differ in their number of runs", "2 runs: Alien, Boxing; 3 runs: Pong"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_file_is_refused_and_nothing_is_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, expected = REFUSED[case]
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(GOOD)
    bad.write_text(text)
    outputs = ("--latex", str(tmp_path / "t.tex"), "--figure", str(tmp_path / "f.png"))
    told = refusal(str(good), str(bad), *outputs)
    for part in (*expected, "bad.json"):
        assert part in told
    assert set(tmp_path.iterdir()) == {good, bad}
    assert capsys.readouterr().out == ""


def test_files_that_cannot_be_read_or_told_apart_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(GOOD)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.json").write_text(GOOD)
    (tmp_path / "latin.json").write_bytes(b'{"Pong": ["\xe9"]}')
    first = str(tmp_path / "a.json")
    assert "there is no such file" in refusal(str(tmp_path / "nothing.json"))
    assert "directory" in refusal(str(tmp_path / "b"))
    assert "not text in UTF-8" in refusal(str(tmp_path / "latin.json"))
    told = refusal(first, str(tmp_path / "b" / "a.json"))
    assert "two files have the label 'a'" in told
    assert "rename one" in told


def test_a_wrong_output_is_refused(tmp_path: Path) -> None:
    scores = tmp_path / "a.json"
    scores.write_text(GOOD)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "b.tex").write_text(GOOD)

    def told(*arguments: str) -> str:
        return refusal(str(scores), *arguments)

    assert "allowed: .png, .svg, .pdf" in told("--figure", str(tmp_path / "f.jpg"))
    assert "ends in ''" in told("--figure", str(tmp_path / "figure"))
    assert "allowed: .tex" in told("--latex", str(scores))
    assert "is a file that is read" in refusal(
        str(tmp_path / "b.tex"), "--latex", str(tmp_path / "b.tex")
    )
    assert "there is no folder" in told("--latex", str(tmp_path / "no" / "t.tex"))
    assert "is a folder" in told("--figure", str(tmp_path / "folder.png"))
    assert "--resamples 10: give 100 to 100000" in told("--resamples", "10")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.tex", "folder.png"}


def test_of_two_outputs_none_is_left_when_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    scores = write(tmp_path / "a.json", {"Pong": [1.0, 2.0]})
    calls: list[int] = []

    def full_disk(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    told = refusal(scores, "--latex", str(tmp_path / "t.tex"), "--figure", str(tmp_path / "f.svg"))
    assert "No space left on device" in told
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_the_process_answers_with_exit_codes_and_a_document_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(GOOD)
    arguments = ("scores", "a.json", "--json", "--figure", "f.svg")
    done = diamond(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"][0]["label"] == "a"
    assert done.stderr == "wrote f.svg\n"
    refused = diamond("scores", "b.json", cwd=tmp_path)
    assert refused.returncode == ExitCode.BAD_REQUEST
    assert refused.stdout == ""
    assert refused.stderr.startswith("diamond: cannot use 'b.json'")


def test_the_published_means_of_diamond_give_its_printed_aggregates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {game: [mean] for game, mean in published().agents["DIAMOND"].scores.items()}
    doc = document(capsys, write(tmp_path / "means.json", scores))
    (file,) = doc["files"]
    printed = published().agents["DIAMOND"].published_aggregates
    assert round(file["aggregates"]["mean"]["mean"], 3) == printed.mean == 1.459
    assert file["superhuman"] == printed.superhuman == 11
    assert all(found["lo"] is found["hi"] is None for found in file["aggregates"].values())
    assert set(file["profile"]["lo"]) == {None}
    assert "no interval" in file["notes"][0]
    agents = {agent["agent"]: agent for agent in doc["published"][0]["agents"]}
    assert agents["DIAMOND"]["mean"] == pytest.approx(file["aggregates"]["mean"]["mean"])
    assert agents["DIAMOND"]["printed"]["iqm"] == 0.641
    assert agents["EDELINE"]["printed"]["mean"] == 1.866
    assert agents["Hieros"]["printed"]["games"] == 25


def test_a_seed_reproduces_and_another_file_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = write(tmp_path / "x.json", noisy("DIAMOND", 5, 0))
    y = write(tmp_path / "y.json", noisy("IRIS", 3, 1))
    turned = dict(reversed(noisy("DIAMOND", 5, 0).items()))
    (tmp_path / "turned").mkdir()
    z = write(tmp_path / "turned" / "x.json", turned)
    both, again = document(capsys, x, y), document(capsys, x, y)
    assert both == again
    alone = document(capsys, x)
    assert alone["files"] == both["files"][:1]
    other_order = document(capsys, z)
    assert other_order["files"][0]["aggregates"] == both["files"][0]["aggregates"]
    other_seed = document(capsys, x, y, "--seed", "1")
    for name, found in both["files"][0]["aggregates"].items():
        other = other_seed["files"][0]["aggregates"][name]
        assert found["mean"] == other["mean"]
        assert (found["lo"], found["hi"]) != (other["lo"], other["hi"])
        assert found["lo"] < found["mean"] < found["hi"]
    (comparison,) = both["comparisons"]
    assert 0.5 < comparison["lo"] < comparison["probability"] < comparison["hi"] < 1


def test_files_with_other_games_are_compared_on_the_common_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = write(tmp_path / "x.json", {"Pong": [1.0, 2.0], "Boxing": [50.0, 60.0]})
    y = write(tmp_path / "y.json", {"Boxing": [10.0, 20.0, 30.0], "Alien": [1.0, 2.0, 3.0]})
    z = write(tmp_path / "z.json", {"Alien": [5.0]})
    doc = document(capsys, x, y, z)
    found = {(entry["x"], entry["y"]): entry for entry in doc["comparisons"]}
    assert found["x", "y"]["games"] == ["Boxing"]
    assert found["x", "y"]["probability"] == 1.0
    assert found["x", "y"]["notes"] == ["over the 1 game that both have"]
    assert found["x", "z"]["probability"] is None
    assert found["x", "z"]["notes"] == ["not compared: no game in common"]
    assert found["y", "z"]["probability"] == 0.0
    assert found["y", "z"]["lo"] is None
    assert doc["files"][0]["games"] == ["Boxing", "Pong"]
    assert "2 of 26 games: not comparable" in doc["files"][0]["notes"][0]
    groups = {tuple(group["games"]): group["agents"] for group in doc["published"]}
    assert set(groups) == {("Boxing", "Pong"), ("Alien", "Boxing"), ("Alien",)}
    # HNS of DIAMOND: Boxing (86.9 - .1) / 12, Pong (20.4 + 20.7) / 35.3.
    diamond_agent = next(a for a in groups["Boxing", "Pong"] if a["agent"] == "DIAMOND")
    assert diamond_agent["mean"] == pytest.approx((86.8 / 12 + 41.1 / 35.3) / 2)
    assert diamond_agent["printed"] is None


def test_the_tables_hold_every_file_and_plain_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["[red]bold", *(f"a-rather-long-name-{index}" for index in range(7))]
    paths = [
        write(tmp_path / f"{label}.json", noisy("DIAMOND", 2, index))
        for index, label in enumerate(labels)
    ]
    run(*paths, "--resamples", "100")
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    for label in labels:
        assert label in shown
    for part in ("DIAMOND (2024)", "0.641†", "P(X > Y)", "EDELINE (2025)", "PrivateEye"):
        assert part in shown


def test_latex_and_figures_are_written_and_equal_for_equal_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = write(tmp_path / "50%_of$.json", noisy("DIAMOND", 3, 0))
    y = write(tmp_path / "y.json", noisy("IRIS", 3, 1))
    made: list[dict[str, bytes]] = []
    for suffix in ("png", "svg", "pdf", "png", "svg", "pdf"):
        latex, figure = tmp_path / "t.tex", tmp_path / f"f.{suffix}"
        options = ("--latex", str(latex), "--figure", str(figure), "--resamples", "100")
        run(x, y, *options)
        made.append({path.name: path.read_bytes() for path in (latex, figure)})
    assert made[:3] == made[3:]
    with Image.open(tmp_path / "f.png") as image:
        assert image.width == 1350
    assert made[1]["f.svg"].startswith(b"<?xml")
    assert made[2]["f.pdf"].startswith(b"%PDF")
    text = made[0]["t.tex"].decode()
    assert r"50\%\_of\$" in text
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 3
    for body in re.findall(r"\\begin{tabular}{(\w+)}(.*?)\\end{tabular}", text, re.DOTALL):
        rows = [line for line in body[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(body[0])}
    assert not list(tmp_path.glob(".*"))


def test_latex_escapes_what_it_would_read_as_commands() -> None:
    assert escape(r"a_b\{50%}&#~^$") == (
        r"a\_b\textbackslash{}\{50\%\}\&\#\textasciitilde{}\textasciicircum{}\$"
    )
