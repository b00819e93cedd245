"""The 26 games of Atari 100k, what is known of each, and the action codes of the emulator."""

from diamond.errors import unknown

GAMES: tuple[str, ...] = (
    "Alien", "Amidar", "Assault", "Asterix", "BankHeist", "BattleZone", "Boxing", "Breakout",
    "ChopperCommand", "CrazyClimber", "DemonAttack", "Freeway", "Frostbite", "Gopher", "Hero",
    "Jamesbond", "Kangaroo", "Krull", "KungFuMaster", "MsPacman", "Pong", "PrivateEye", "Qbert",
    "RoadRunner", "Seaquest", "UpNDown",
)  # fmt: skip

GAMES_WITH_EXPERT: tuple[str, ...] = ("Breakout", "Pong")
"""Games for which `diamond.envs.experts` has a scripted player."""

FIRST_SIX_ACTIONS: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
"""Emulator codes NOOP, FIRE, UP, RIGHT, LEFT, DOWN."""


def check_game(name: str) -> str:
    """Return the name of a game as Atari 100k spells it.

    Raises:
        RequestError: The game is not one of the 26.
    """
    if name not in GAMES:
        raise unknown("game", name, GAMES, "give one with --game, for instance --game Boxing")
    return name
