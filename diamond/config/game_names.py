"""Names of games: the 26 of Atari 100k, the others of the emulator, and ids of Gymnasium."""

import re
from collections.abc import Iterable
from typing import Literal

from diamond.errors import RequestError, unknown

GAMES: tuple[str, ...] = (
    "Alien", "Amidar", "Assault", "Asterix", "BankHeist", "BattleZone", "Boxing", "Breakout",
    "ChopperCommand", "CrazyClimber", "DemonAttack", "Freeway", "Frostbite", "Gopher", "Hero",
    "Jamesbond", "Kangaroo", "Krull", "KungFuMaster", "MsPacman", "Pong", "PrivateEye", "Qbert",
    "RoadRunner", "Seaquest", "UpNDown",
)  # fmt: skip
"""The games of Atari 100k."""

GAMES_SCREEN = (210, 160)
"""Height and width of the screen of each of them, pixels."""

OTHER_ATARI_GAMES: tuple[str, ...] = (
    "Adventure", "AirRaid", "Asteroids", "Atlantis", "Atlantis2", "Backgammon", "BasicMath",
    "BeamRider", "Berzerk", "Blackjack", "Bowling", "Carnival", "Casino", "Centipede", "Crossbow",
    "Darkchambers", "Defender", "DonkeyKong", "DoubleDunk", "Earthworld", "ElevatorAction",
    "Enduro", "Entombed", "Et", "FishingDerby", "FlagCapture", "Frogger", "Galaxian", "Gravitar",
    "Hangman", "HauntedHouse", "HumanCannonball", "IceHockey", "JourneyEscape", "Kaboom",
    "KeystoneKapers", "KingKong", "Klax", "Koolaid", "LaserGates", "LostLuggage", "MarioBros",
    "MiniatureGolf", "MontezumaRevenge", "MrDo", "NameThisGame", "Othello", "Pacman", "Phoenix",
    "Pitfall", "Pitfall2", "Pooyan", "Riverraid", "Robotank", "SirLancelot", "Skiing", "Solaris",
    "SpaceInvaders", "SpaceWar", "StarGunner", "Superman", "Surround", "Tennis", "Tetris",
    "TicTacToe3D", "TimePilot", "Trondead", "Turmoil", "Tutankham", "Venture", "VideoCheckers",
    "VideoChess", "VideoCube", "VideoPinball", "WizardOfWor", "WordZapper", "YarsRevenge",
    "Zaxxon",
)  # fmt: skip
"""The other single-player games that come with `ale-py`."""

MINATAR_GAMES: tuple[str, ...] = tuple(
    f"MinAtar/{name}-v{version}"
    for name in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
    for version in (0, 1)
)
"""Ids of MinAtar; v0 has all six actions, v1 those that do something."""

GAMES_WITH_EXPERT: tuple[str, ...] = ("Breakout", "Pong")
"""Games for which `diamond.envs.collecting_players` has a scripted player."""

FIRST_SIX_ACTIONS: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
"""Emulator codes NOOP, FIRE, UP, RIGHT, LEFT, DOWN."""

Kind = Literal["atari", "minatar", "gymnasium", "recording"]
FRAMES_PREFIX = "frames:"
"""Before the name of a recording, where it stands in the place of a game."""
MAX_NAME = 60
"""Letters of the name of a recording."""
RECORDING_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
ALE_ID = re.compile(r"ALE/(\w+)-v5")
KNOWN_MODULES: frozenset[str] = frozenset({"ale_py", "gymnasium", "minatar", "minigrid"})
"""Modules that an id is known without."""
GYMNASIUM_ID = re.compile(r"([A-Za-z_][\w.]*:)?([\w-]+/)?[\w.-]+-v\d+")
HOW = (
    "an Atari game (Boxing), MinAtar/Breakout-v1, any id of Gymnasium (CarRacing-v3), or "
    "module:ID of your own, for instance --game Boxing"
)


def check_game(name: str) -> str:
    """Return the one name of a game: ``ALE/Breakout-v5`` is ``Breakout``.

    Whether an id of Gymnasium exists is found out where the environment is made.

    Raises:
        RequestError: It is neither an Atari game nor an id.
    """
    if recording_of(name) is not None:
        return name
    module, _, identity = name.rpartition(":")
    short = identity if module in KNOWN_MODULES else name
    said = ALE_ID.fullmatch(short)
    inner = said.group(1) if said else short
    if inner in GAMES or inner in OTHER_ATARI_GAMES:
        return inner
    if short.startswith("MinAtar/") and short not in MINATAR_GAMES:
        raise unknown("game", name, MINATAR_GAMES, f"give {HOW}")
    if not said and GYMNASIUM_ID.fullmatch(short):
        return short
    raise unknown("game", name, (*GAMES, *OTHER_ATARI_GAMES, *MINATAR_GAMES), f"give {HOW}")


def check_games(names: Iterable[str]) -> tuple[str, ...]:
    """The names of games, each its own.

    Raises:
        RequestError: There is no such game, or two names are of one game.
    """
    spelled: dict[str, str] = {}
    games = []
    for name in names:
        game = check_game(name)
        # Under one id there is one game, whichever module registers it.
        identity = game.rpartition(":")[2]
        if identity in spelled:
            raise RequestError(
                f"--game names a game twice: {spelled[identity]} and {name} are one game"
            )
        spelled[identity] = name
        games.append(game)
    return tuple(games)


def recording_of(game: str) -> str | None:
    """The name of the recording that stands in the place of a game; None of a game."""
    name = game.removeprefix(FRAMES_PREFIX)
    return name if name != game and RECORDING_NAME.fullmatch(name) else None


def kind_of(game: str) -> Kind:
    """The kind of environment of a game that was checked."""
    if recording_of(game) is not None:
        return "recording"
    if game in GAMES or game in OTHER_ATARI_GAMES:
        return "atari"
    return "minatar" if game in MINATAR_GAMES else "gymnasium"


def slug_of(game: str) -> str:
    """A game in the name of a folder: ``MinAtar/Breakout-v1`` is ``minatar-breakout-v1``."""
    return re.sub(r"[^a-z0-9]+", "-", game.lower()).strip("-")
