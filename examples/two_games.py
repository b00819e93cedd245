"""One policy plays twice: the real game, and the game that its world model imagines.

    python examples/two_games.py --checkpoint DIR --film two_games.gif

DIR is what `diamond export-checkpoint STUDY DIR` made. Both games begin with the same real frames,
as many as the world model needs. Then the policy sees the emulator's frames on the left, imagined
ones on the right. As long as all frames were equal, so are the actions: both games draw them with
the same random numbers. Imagined rewards are signs, and an Atari game is imagined up to the first
lost life; the real game goes on.
"""

import argparse
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diamond.config.checkpoint_record import Checkpoint, read_checkpoint
from diamond.envs.open_game import open_game
from diamond.envs.real_game import draw_episode_key
from diamond.envs.view import apply_view
from diamond.families.interface import WorldModel
from diamond.records import to_bytes, to_unit
from diamond.rng import StreamNoise, numpy_generator, torch_generator
from diamond.seeds import Purpose
from diamond.training.evaluation import sampled_actor
from diamond.training.policy_part import POLICY
from diamond.world.build import part_of_checkpoint, world_of_checkpoint

CPU = torch.device("cpu")
PANEL, MARGIN, LINE = 200, 8, 24
"""Size of one game in the film, the space between two, and the height of a line of text: pixels."""


class Moment(NamedTuple):
    """What is seen after an env step: a frame (h, w, 3) uint8, the return so far, the end."""

    frame: NDArray[np.uint8]
    earned: float
    over: bool


def real_game(agent: Checkpoint, seed: int) -> Generator[Moment, int, None]:
    """The emulator; it is sent the action of each env step."""
    env = open_game(agent.game, agent.environment)
    rng = numpy_generator(seed, Purpose.RETURNS_EMULATOR, 0)
    native, earned, over = env.begin(draw_episode_key(rng, agent.environment)), 0.0, False
    while True:
        action = yield Moment(apply_view(native, agent.view), earned, over)
        native, reward, ended, stopped, _ = env.step(action)
        earned, over = earned + reward, ended or stopped


def imagined_game(
    world: WorldModel[Any], real: list[Moment], seed: int
) -> Generator[Moment, int, None]:
    """The world model, which goes on from the first frames of a real game."""
    begun = real[: world.history]
    actions = torch.zeros(1, len(begun) - 1, dtype=torch.int64)
    for index, moment in enumerate(begun[:-1]):
        actions[0, index] = yield moment
    frames = to_unit(torch.from_numpy(np.stack([moment.frame for moment in begun])))[None]
    state = world.start(frames, actions, torch.tensor([0]))
    noise = StreamNoise(torch_generator(seed, Purpose.FIDELITY_NOISE))
    frame, earned, over = frames[:, -1], begun[-1].earned, False
    while True:
        action = yield Moment(to_bytes(frame)[0].numpy(), earned, over)
        state, (frame, reward, end) = world.step(state, torch.tensor([action]), noise)
        earned, over = earned + float(reward), bool(end)


def play(
    folder: Path, agent: Checkpoint, game: Generator[Moment, int, None], seed: int, num_steps: int
) -> list[Moment]:
    """Let the policy act in a game until it ends or `num_steps` env steps are over."""
    actor = sampled_actor(part_of_checkpoint(POLICY, folder, agent, CPU), CPU)(
        agent.weights.num_actions
    )
    rng, memory = numpy_generator(seed, Purpose.RETURNS_ACTIONS, 0), None
    moments = [next(game)]
    while len(moments) <= num_steps and not moments[-1].over:
        actions, memory = actor(moments[-1].frame[None], np.array([rng.random()]), memory)
        moments.append(game.send(int(actions[0])))
    return moments


def panel(name: str, moments: list[Moment], step: int) -> Image.Image:
    """A game after so many env steps; its last frame stays, darker, once it is over."""
    moment = moments[min(step, len(moments) - 1)]
    frame = Image.fromarray(moment.frame).resize((PANEL, PANEL), Image.Resampling.NEAREST)
    if step >= len(moments):
        frame = frame.point(lambda level: level // 2)
    picture = Image.new("RGB", (PANEL, LINE + PANEL), "white")
    picture.paste(frame, (0, LINE))
    state = "over" if moment.over else f"step {min(step, len(moments) - 1)}"
    ImageDraw.Draw(picture).text((2, 6), f"{name}: return {moment.earned:g}, {state}", "black")
    return picture


def film(real: list[Moment], imagined: list[Moment]) -> list[Image.Image]:
    """Both games side by side, a picture for each env step of the longer one."""
    pictures = []
    for step in range(max(len(real), len(imagined)) + 3):
        both = Image.new("RGB", (2 * PANEL + MARGIN, LINE + PANEL), "white")
        both.paste(panel("real game", real, step), (0, 0))
        both.paste(panel("imagined", imagined, step), (PANEL + MARGIN, 0))
        pictures.append(both)
    return pictures


def main() -> None:
    """Play both games and write the film."""
    parser = argparse.ArgumentParser(description="A policy in its game and in its imagination.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--film", type=Path, default=Path("two_games.gif"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200, help="env steps at most")
    args = parser.parse_args()
    agent = read_checkpoint(args.checkpoint)
    real = play(args.checkpoint, agent, real_game(agent, args.seed), args.seed, args.steps)
    world = world_of_checkpoint(args.checkpoint, agent, agent.world, CPU)
    if len(real) <= world.history:
        parser.error(f"--steps {args.steps}: the film begins with {world.history} real frames")
    dream = imagined_game(world, real, args.seed)
    imagined = play(args.checkpoint, agent, dream, args.seed, args.steps)
    first, *others = film(real, imagined)
    first.save(args.film, save_all=True, append_images=others, duration=150, loop=0)
    for name, moments in (("real game", real), ("imagined", imagined)):
        print(f"{name}: return {moments[-1].earned:g} in {len(moments) - 1} env steps")
    print(args.film)


if __name__ == "__main__":
    main()
