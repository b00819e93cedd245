"""The Gymnasium id of imagined games."""

import gymnasium

ENV_ID = "diamond/World-v0"
ENTRY_POINT = "diamond.world.vec:make_vec"


def register() -> None:
    """Make `gymnasium.make_vec("diamond/World-v0", ...)` known; once is enough, twice does no harm.

    Gymnasium looks for no plugins since 1.0: importing `diamond.world.vec` registers, so that
    `gymnasium.make_vec("diamond.world.vec:diamond/World-v0", ...)` needs nothing else. The entry
    point of the group `gymnasium.envs` names this function for whoever looks there.
    """
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(ENV_ID, vector_entry_point=ENTRY_POINT)
