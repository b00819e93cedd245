"""The Gymnasium id of imagined games: one, or several side by side."""

import gymnasium

ENV_ID = "diamond/World-v0"
ENTRY_POINT = "diamond.world.env:make"
VECTOR_ENTRY_POINT = "diamond.world.vec:make_vec"


def register() -> None:
    """Make `diamond/World-v0` known to Gymnasium; once is enough, twice does no harm.

    Gymnasium looks for no plugins since 1.0: importing `diamond.world.vec` registers, so that
    `gymnasium.make_vec("diamond.world.vec:diamond/World-v0", ...)`, or `make`, needs nothing else.
    The entry point of the group `gymnasium.envs` names this function for whoever looks there.
    """
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(ENV_ID, ENTRY_POINT, vector_entry_point=VECTOR_ENTRY_POINT)
