"""`diamond evaluate`: episodes of the real game, what their returns say, the film, bad input."""

import json
import math
import re
import signal
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from diamond.cli.evaluate import EvaluationOptions, evaluate_and_show
from diamond.config.checkpoint_record import CHECKPOINT_FILE, read_checkpoint
from diamond.config.environments import Environment
from diamond.config.presets import smoke, tiny
from diamond.config.run import RunConfig
from diamond.config.scoring import EvaluationConfig
from diamond.envs.real_game import EpisodeKey, draw_episode_key
from diamond.envs.view import apply_view
from diamond.errors import DiamondError, ExitCode
from diamond.nets.blocks import Recurrent
from diamond.report.figures.video import open_video
from diamond.rng import numpy_generator
from diamond.seeds import Purpose
from diamond.studies.checkpoint_returns import summary
from diamond.training.evaluation import Actor, Episode, finished, play_side_by_side
from tests.agents import write_agent
from tests.commands import diamond, environment, wait_until

# Points of random play and of the human reference, Mnih et al. (2015) as printed by Badia et al.
BREAKOUT_RANDOM, BREAKOUT_HUMAN = 1.7, 30.5


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_agent(tmp_path_factory.mktemp("agent") / "breakout")


# Slots: as if every episode were played alone.


class ToyGame:
    """The level of the screen grows by the action; how long it lasts depends on the no-ops."""

    action_codes = (0, 1, 2, 3)
    is_open: ClassVar[list["ToyGame"]] = []

    def __init__(self, game: str, config: Environment) -> None:
        self._steps_left, self._level = 0, 0
        self.is_open.append(self)

    def close(self) -> None:
        self.is_open.remove(self)

    def begin(self, key: EpisodeKey) -> NDArray[np.uint8]:
        self._steps_left, self._level = 3 + key.num_noops, key.num_noops
        return self._screen()

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self._steps_left, self._level = self._steps_left - 1, self._level + action
        return self._screen(), float(action), self._steps_left == 0, False, {}

    def _screen(self) -> NDArray[np.uint8]:
        return np.full((210, 160, 3), self._level % 256, dtype=np.uint8)


def drifting(num_actions: int) -> Actor:
    """An actor with a memory, whose rows do not depend on each other: actions rise with time."""

    def act(
        frames: NDArray[np.uint8], uniforms: NDArray[np.float64], memory: Recurrent | None
    ) -> tuple[NDArray[np.int64], Recurrent]:
        zeros = torch.zeros(len(frames), 1)
        counted, kept = (zeros, zeros) if memory is None else memory
        level = frames.mean(axis=(1, 2, 3)) + num_actions * uniforms + counted[:, 0].numpy()
        return level.astype(np.int64) % num_actions, (counted + 1, kept)

    return act


def alone(config: RunConfig, seed: int, index: int, most_steps: int) -> Episode:
    """One episode in a loop of its own."""
    env = ToyGame(config.game, config.environment)
    actor, memory = drifting(len(env.action_codes)), None
    key = draw_episode_key(
        numpy_generator(seed, Purpose.RETURNS_EMULATOR, index), config.environment
    )
    rng = numpy_generator(seed, Purpose.RETURNS_ACTIONS, index)
    frame, terminated = env.begin(key), False
    taken, earned = list[int](), list[float]()
    while not terminated and len(taken) < most_steps:
        seen = apply_view(frame, config.view)[None]
        actions, memory = actor(seen, np.array([rng.random()]), memory)
        frame, reward, terminated, _, _ = env.step(int(actions[0]))
        taken.append(int(actions[0]))
        earned.append(reward)
    actions_, rewards_ = np.array(taken, np.int64), np.array(earned, np.float64)
    counts = tuple(taken.count(action) for action in range(len(env.action_codes)))
    digest = blake2b(actions_.tobytes() + rewards_.tobytes(), digest_size=8).hexdigest()
    return Episode(sum(earned), len(taken), not terminated, digest, counts)


@pytest.mark.parametrize("num_slots", [1, 2, 5, 20])
def test_an_episode_does_not_depend_on_its_slot(
    num_slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diamond.training.evaluation.open_game", ToyGame)
    config, most_steps, num = smoke("Breakout"), 25, 12
    limits = EvaluationConfig(num_episodes=num, max_episode_steps=most_steps)
    configs = config.environment, config.view, limits
    done: dict[int, Episode] = {}
    seen = set()
    ToyGame.is_open.clear()
    for slots in play_side_by_side(config.game, configs, drifting, 4, num_slots):
        assert len(slots) == len(ToyGame.is_open) == min(num_slots, num)
        done |= finished(slots)
        seen |= {(playing.index, playing.num_steps) for playing in slots}
    assert ToyGame.is_open == []
    expected = [alone(config, 4, index, most_steps) for index in range(num)]
    assert [done[index] for index in range(num)] == expected
    assert {episode.truncated for episode in expected} == {True, False}
    # Every env step of every episode was shown.
    steps = {(i, s + 1) for i, episode in enumerate(expected) for s in range(episode.num_steps)}
    assert seen == steps


# What the returns say.


def episodes(*returns: float) -> list[Episode]:
    return [Episode(value, 100, truncated=False, digest="", action_counts=()) for value in returns]


def test_the_summary_says_what_the_returns_are(agent: Path) -> None:
    returns = [0.0, 3.0, 11.0, 2.0, 7.0, 7.0, 1.0, 4.0, 9.0, 5.0]
    told = summary(read_checkpoint(agent), episodes(*returns))
    assert told["mean"] == pytest.approx(4.9)
    assert told["median"] == pytest.approx(4.5)
    assert told["scores"] == {"Breakout": [told["mean"]]}
    # An own bootstrap with other draws; 2000 of them place a quantile to about a tenth of the
    # standard error of the mean, which is 1.1.
    draws = np.random.default_rng(1).choice(returns, size=(20_000, len(returns))).mean(axis=1)
    # Expanded percentiles (Hesterberg 2015): the tail at which n normal values are covered.
    tail = stats.norm.cdf(stats.t.ppf(0.025, len(returns) - 1) * np.sqrt(10 / 9))
    expected = np.quantile(draws, [tail, 1 - tail])
    assert [told["lo"], told["hi"]] == pytest.approx(expected, abs=0.25)
    assert "one trained model" in told["interval"]["within"]
    scale = BREAKOUT_HUMAN - BREAKOUT_RANDOM
    hns = told["hns"]
    assert hns is not None
    pairs = [(hns["mean"], told["mean"]), (hns["lo"], told["lo"]), (hns["hi"], told["hi"])]
    for normalised, earned in pairs:
        assert earned is not None
        assert normalised == pytest.approx((earned - BREAKOUT_RANDOM) / scale)


def test_one_episode_has_no_interval(agent: Path) -> None:
    told = summary(read_checkpoint(agent), episodes(3.0))
    assert (told["mean"], told["lo"], told["hi"]) == (3.0, None, None)
    hns = told["hns"]
    assert hns is not None and hns["lo"] is None
    assert hns["mean"] is not None and math.isfinite(hns["mean"])


@pytest.mark.parametrize("kind", ["cropped", "few actions", "both"])
def test_there_is_no_hns_without_the_whole_game(kind: str, tmp_path: Path) -> None:
    boxing, whole = tiny("Boxing"), smoke("Boxing")
    view, emulator = boxing.view, boxing.environment
    update: dict[str, Any] = {"view": view} if kind != "few actions" else {}
    update |= {"environment": emulator} if kind != "cropped" else {}
    agent = read_checkpoint(write_agent(tmp_path / "agent", whole.model_copy(update=update)))
    assert summary(agent, episodes(1.0, 2.0))["hns"] is None
    assert summary(read_checkpoint(write_agent(tmp_path / "whole", whole)), episodes(1.0))["hns"]


# The command.


def evaluated(agent: Path, capsys: pytest.CaptureFixture[str], seed: int) -> dict[str, Any]:
    evaluate_and_show(agent, "Breakout", EvaluationOptions(2, seed, None, as_json=True))
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_seed_makes_it_reproducible(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, other = (evaluated(agent, capsys, seed) for seed in (0, 0, 1))
    assert one == two
    assert one["episodes"] != other["episodes"]
    assert len(one["episodes"]) == 2


def test_the_command_tells_films_and_feeds_scores(
    agent: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The film has a frame for each env step of the first episode, and shows Breakout."""
    monkeypatch.setattr("diamond.studies.checkpoint_returns.EPISODES_AT_A_TIME", 1)
    film = tmp_path / "play.mp4"
    evaluate_and_show(agent, None, EvaluationOptions(2, 3, film, as_json=True))
    shown = capsys.readouterr()
    assert str(film) in shown.err
    document = json.loads(shown.out)
    (tmp_path / "ours.json").write_text(shown.out)
    scores = diamond("scores", str(tmp_path / "ours.json"), "--json")
    assert scores.returncode == 0, scores.stderr
    mean = np.mean([episode["return"] for episode in document["episodes"]])
    (file,) = json.loads(scores.stdout)["files"]
    assert file["num_runs"] == 1
    assert file["per_game"]["Breakout"]["mean"] == pytest.approx(mean)
    reader = cv2.VideoCapture(str(film))
    assert reader.get(cv2.CAP_PROP_FPS) == 15
    frames = []
    while (read := reader.read())[0]:
        frames.append(read[1])
    assert len(frames) == document["episodes"][0]["num_steps"]
    # The top row of bricks is red, and OpenCV has blue first; the codec loses a little.
    assert frames[0].shape == (420, 320, 3)
    assert np.allclose(frames[0][2 * 59, 160], (72, 72, 200), atol=16)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["ours.json", "play.mp4"]


@pytest.mark.parametrize("name", ["play:1.mp4", "play%03d.mp4", "-play.mp4"])
def test_a_film_may_have_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV takes `.play:1.mp4` for an address."""
    monkeypatch.chdir(tmp_path)
    with open_video(Path(name), 15, (32, 32)) as write:
        write(np.zeros((32, 32, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_table_says_what_the_interval_is(
    agent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_and_show(agent, None, EvaluationOptions(2, 0, None, as_json=False))
    shown = capsys.readouterr().out
    for text in ("return", "HNS", "2 episodes, seed 0", "within one trained model", "95 %"):
        assert text in shown
    assert re.search(r"returns: \d+, \d+", shown)


def test_interrupting_leaves_nothing_behind(agent: Path, tmp_path: Path) -> None:
    film = tmp_path / "play.mp4"
    command = ["evaluate", str(agent), "--episodes", "5000", "--video", str(film)]
    process = subprocess.Popen(
        [sys.executable, "-m", "diamond", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        wait_until(lambda: any(tmp_path.iterdir()), "the film to begin")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == ExitCode.INTERRUPTED
    assert stdout == ""
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


# Bad input.

REFUSED: dict[str, tuple[str, str | None, int, str | None, tuple[str, ...]]] = {
    "another game": ("agent", "Pong", 2, None, ("--game Pong", "plays Breakout", "leave --game")),
    "no game": ("agent", "Breakot", 2, None, ("unknown game", "Did you mean 'Breakout'")),
    "no episode": ("agent", None, 0, None, ("--episodes 0", "at least 1")),
    "no checkpoint": ("nowhere", None, 2, None, ("not a checkpoint", "diamond import-checkpoint")),
    "a file": ("agent.pt", None, 2, None, ("agent.pt", "diamond import-checkpoint FILE.pt")),
    "another kind of film": ("agent", None, 2, "film.gif", ("--video", "'.gif'", ".mp4")),
    "no folder for it": ("agent", None, 2, "no/film.mp4", ("--video", "there is no folder")),
}


@pytest.mark.parametrize(("name", "game", "num", "film", "texts"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_evaluated_says_why(
    name: str,
    game: str | None,
    num: int,
    film: str | None,
    texts: tuple[str, ...],
    agent: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "agent.pt").write_bytes(b"PK")
    folder = agent if name == "agent" else tmp_path / name
    video = None if film is None else tmp_path / film
    with pytest.raises(DiamondError) as refused:
        evaluate_and_show(folder, game, EvaluationOptions(num, 0, video, as_json=True))
    assert refused.value.exit_code is ExitCode.BAD_REQUEST
    assert all(text in str(refused.value) for text in texts), str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["agent.pt"]


def test_weights_that_are_damaged_or_of_another_network_are_refused(tmp_path: Path) -> None:
    folder = write_agent(tmp_path / "agent")
    described = json.loads((folder / CHECKPOINT_FILE).read_text())
    described["policy"]["lstm_size"] = 16
    (folder / CHECKPOINT_FILE).write_text(json.dumps(described))
    options = EvaluationOptions(2, 0, tmp_path / "film.mp4", as_json=True)
    with pytest.raises(DiamondError, match="not those of the network"):
        evaluate_and_show(folder, None, options)
    (folder / "policy.safetensors").write_bytes(b"cut")
    with pytest.raises(DiamondError, match="damaged"):
        evaluate_and_show(folder, None, options)
    assert not (tmp_path / "film.mp4").exists()


def test_a_film_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("older")

    def interrupted() -> None:
        with open_video(path, 15, (20, 30)) as add:
            add(np.zeros((20, 30, 3), dtype=np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
