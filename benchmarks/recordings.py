"""`python -m benchmarks.recordings`: what a recording costs a study, beside the game itself.

One study is trained on the frames of the game; the others on the same frames, exported as video
with tables of actions and imported again: without loss, through H.264 with loss, and with the
actions shifted by one frame. All are scored against the game.

With --bot: episodes of the bot of MiniGrid, kept by Minari; a study is trained and scored on them
alone.
"""

import argparse
import csv
import io
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import av
import gymnasium
import minari
import numpy as np
from gymnasium.spaces import Box, Discrete
from minari.data_collector.episode_buffer import EpisodeBuffer
from minigrid.utils.baby_ai_bot import BabyAIBot
from minigrid.wrappers import ImgObsWrapper, RGBImgObsWrapper

from diamond.arrays import ByteArray
from diamond.config.processes import python_command, python_environment
from diamond.config.recorded import RECORDING_FILE, recording_folder
from diamond.engine.files import digest
from diamond.engine.report_file import read_result
from diamond.engine.store import Store
from diamond.recordings.export import write_video
from diamond.results.model import Result

DIRECT = "direct"
BOT_GAME = "BabyAI-GoToRedBallGrey-v0"
BOT_METRICS = ("psnr", "ssim", "skill_copy_l1", "action_accuracy")
METRICS = ["psnr", "ssim", "core_ratio", "action_accuracy", "reward_f1"]
Change = Callable[[Path, Path], None]
"""Writes another form of a video and its table, by their common stem, into a folder."""


class Studies:
    """Commands on one home, each shown before it runs."""

    def __init__(self, home: Path, game: str, preset: str) -> None:
        """Assign."""
        self.home, self._game, self._preset = home, game, preset

    def run(self, *words: str) -> None:
        """Run a command to its end; what it says is shown where it fails."""
        print(f"$ diamond {shlex.join(words)}", flush=True)
        done = subprocess.run(
            python_command("diamond", *words, "--home", str(self.home)),
            env=python_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)

    def study(self, name: str) -> Result:
        """Make the study of a recording, or of the game itself, up to its scores."""
        frames = () if name == DIRECT else ("--frames", name)
        words = ("--game", self._game, "--preset", self._preset, "--until", "fidelity")
        self.run("ablate", "steps=1,3", *words, *frames, "--name", name)
        result = read_result(self.home / "studies" / name / "report.json")
        assert result is not None
        return result


def write_lossy(source: Path, target: Path) -> None:
    """The frames through H.264 as ffmpeg writes it by default; the table stays."""
    write_video(
        target.with_suffix(".mp4"),
        read_frames(source),
        frame_rate(source),
        codec="libx264",
        options={"crf": "23"},
        pixel_format="yuv420p",
    )
    shutil.copyfile(source.with_suffix(".csv"), target.with_suffix(".csv"))


def write_late(source: Path, target: Path) -> None:
    """Every action one row later than it was taken; the first one stands twice."""
    shutil.copyfile(source.with_suffix(".mp4"), target.with_suffix(".mp4"))
    with source.with_suffix(".csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    place = header.index("action")
    taken = [row[place] for row in rows]
    late = [taken[0], *taken[:-1]]
    moved = [[*row[:place], one, *row[place + 1 :]] for row, one in zip(rows, late, strict=True)]
    with target.with_suffix(".csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *moved])


def read_frames(stem: Path) -> Iterator[ByteArray]:
    """Frames (h, w, 3) uint8 of a video."""
    with av.open(stem.with_suffix(".mp4")) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def frame_rate(stem: Path) -> float:
    """Frames a second of a video."""
    with av.open(stem.with_suffix(".mp4")) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
        return float(rate)


def stems(folder: Path) -> list[Path]:
    """The episodes of an export, without their suffixes."""
    return sorted(path.with_suffix("") for path in folder.glob("*.mp4"))


def changed(source: Path, target: Path, change: Change) -> None:
    """Write another form of an export."""
    target.mkdir()
    for stem in stems(source):
        change(stem, target / stem.name)


def say_pixel_error(source: Path, target: Path) -> None:
    """Print how far the frames of two exports are apart."""
    pairs = [
        (first.astype(np.int64), second.astype(np.int64))
        for stem in stems(source)
        for first, second in zip(read_frames(stem), read_frames(target / stem.name), strict=True)
    ]
    apart = np.stack([np.abs(first - second) for first, second in pairs])
    psnr = 10 * np.log10(255**2 / np.square(apart).mean())
    num_bytes, num_lossy = (
        sum(stem.with_suffix(".mp4").stat().st_size for stem in stems(folder))
        for folder in (source, target)
    )
    print(
        f"{len(apart)} frames, {num_bytes} bytes without loss, {num_lossy} with: off by "
        f"{apart.mean():.2f} of 255 levels on average, at most {apart.max()}; "
        f"{(apart > 0).mean():.1%} of the numbers differ; PSNR {psnr:.1f} dB"
    )


def digests(result: Result, store: Store) -> dict[str, str]:
    """SHA-256 of every output of an arm's stages, by arm, stage and file; their keys differ."""
    return {
        f"{arm.name}/{name}/{path.name}": digest(path)
        for arm in result.arms
        for run in arm.runs
        for name, stage in run.stages.items()
        for path in sorted(store.folder(name, stage.key).rglob("*"))
        if path.suffix in (".npz", ".npy", ".safetensors")
    }


def say_equal(direct: Result, other: Result, store: Store) -> None:
    """Print how many outputs and scores of two studies are equal."""
    one, two = digests(direct, store), digests(other, store)
    assert one.keys() == two.keys()
    differing = sorted(name for name in one if one[name] != two[name])
    scores = list(zip(score_of(direct), score_of(other), strict=True))
    print(
        f"{len(one) - len(differing)} of {len(one)} files of numbers equal, "
        f"{sum(first == second for first, second in scores)} of {len(scores)} scores equal"
    )
    for name in differing:
        print(f"  differs: {name}")


def score_of(result: Result) -> list[object]:
    """Every score of every arm."""
    return [
        (arm.name, metric, when, estimate)
        for arm in result.arms
        for metric, row in arm.metrics.items()
        for when, estimate in row.items()
    ]


def say_scores(studies: dict[str, Result], metrics: list[str]) -> None:
    """Print the means of some metrics over the horizon, a row for each arm, a column a study."""
    print(f"\n{'':34}" + "".join(f"{name:>12}" for name in studies))
    for arm in studies[DIRECT].arms:
        for metric in metrics if arm.kind == "arm" else ():
            found = [mean_of(result, arm.name, metric) for result in studies.values()]
            shown = "".join(f"{'-' if one is None else f'{one:.4g}':>12}" for one in found)
            print(f"{arm.name + ' ' + metric:34}{shown}")


def mean_of(result: Result, arm: str, metric: str) -> float | None:
    """The mean of a metric of an arm over the horizon; None where it was not measured."""
    (metrics,) = (one.metrics for one in result.arms if one.name == arm)
    estimate = metrics.get(metric, {}).get("mean")
    return None if estimate is None else estimate.mean


def say_alignment(home: Path, name: str) -> None:
    """Print what the import found of how frames and actions fit."""
    found = json.loads((recording_folder(home, name) / RECORDING_FILE).read_text())["alignment"]
    print(f"{name}: {found}")


def compare(home: Path, game: str, preset: str, metrics: list[str]) -> None:
    """Make the studies and print how they differ."""
    studies = Studies(home, game, preset)
    made = {DIRECT: studies.study(DIRECT)}
    lossless, lossy, late = (home / "exports" / name for name in ("lossless", "lossy", "late"))
    studies.run("export-frames", DIRECT, "--format", "video", "--output", str(lossless))
    changed(lossless, lossy, write_lossy)
    changed(lossless, late, write_late)
    for folder in (lossless, lossy, late):
        studies.run("import-frames", str(folder), "--name", folder.name, "--hold-out", "0")
        say_alignment(home, folder.name)
    made[lossless.name] = studies.study(lossless.name)
    say_equal(made[DIRECT], made[lossless.name], Store(home))
    say_pixel_error(lossless, lossy)
    made[lossy.name] = studies.study(lossy.name)
    say_scores(made, metrics)


def bot_episodes(num: int) -> Iterator[EpisodeBuffer]:
    """Episodes of MiniGrid's bot, which walks to a ball, as Minari keeps them."""
    # Their types are not told.
    whole: Any = RGBImgObsWrapper
    picture: Any = ImgObsWrapper
    player: Any = BabyAIBot
    env = picture(whole(gymnasium.make(BOT_GAME), tile_size=8))
    with redirect_stdout(io.StringIO()):  # it tells of places that it drew again
        yield from _played(env, player, num)


def _played(env: Any, player: Any, num: int) -> Iterator[EpisodeBuffer]:
    for seed in range(num):
        frames = [env.reset(seed=seed)[0]]
        steps: list[tuple[int, float, bool, bool]] = []
        bot = player(env.unwrapped)
        while not steps or not (steps[-1][2] or steps[-1][3]):
            action = int(bot.replan())
            frame, reward, terminated, truncated, _ = env.step(action)
            frames.append(frame)
            steps.append((action, reward, terminated, truncated))
        actions, rewards, ends, cuts = map(np.array, zip(*steps, strict=True))
        yield EpisodeBuffer(
            seed=seed,
            observations=np.stack(frames),
            actions=actions,
            rewards=rewards,
            terminations=ends,
            truncations=cuts,
        )


def study_bot(home: Path, preset: str, num: int = 500) -> None:
    """Import what the bot did, and make a study of it alone."""
    os.environ["MINARI_DATASETS_PATH"] = str(home / "minari")
    with warnings.catch_warnings(action="ignore"):  # it misses an author and their address
        minari.create_dataset_from_buffers(
            "minigrid/ball-v0",
            list(bot_episodes(num)),
            observation_space=Box(0, 255, (64, 64, 3), np.uint8),
            action_space=Discrete(7),
            jpeg_encoding=False,
        )
    studies = Studies(home, "", preset)
    studies.run("import-frames", "minigrid/ball-v0", "--name", "ball")
    say_alignment(home, "ball")
    words = ("--frames", "ball", "--preset", preset, "--until", "fidelity")
    studies.run("ablate", "steps=1,3", *words, "--name", "ball")
    result = read_result(home / "studies" / "ball" / "report.json")
    assert result is not None
    for arm in result.arms:
        shown = {name: mean_of(result, arm.name, name) for name in BOT_METRICS}
        print(f"{arm.name}: {shown}")


def main() -> None:
    """Compare what the words say."""
    parser = argparse.ArgumentParser("python -m benchmarks.recordings", description=__doc__)
    parser.add_argument("--game", default="Breakout")
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--home", type=Path, help="a new folder, by default one that is removed")
    parser.add_argument("--metrics", nargs="+", default=METRICS)
    parser.add_argument("--bot", action="store_true", help="a data set of another project instead")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = said.home or Path(folder) / "home"
        if said.bot:
            study_bot(home, said.preset)
        else:
            compare(home, said.game, said.preset, said.metrics)


if __name__ == "__main__":
    main()
