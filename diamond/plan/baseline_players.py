"""The players that a policy's returns stand beside, which look at no frame."""

from dataclasses import dataclass

from diamond.config.player_names import PLAYERS, UnseeingPlayer
from diamond.config.run import RunConfig
from diamond.plan.stage_keys import StageSpec
from diamond.stages.returns import RETURNS, without_curve


@dataclass(frozen=True)
class PlayerStage:
    """A stage in which another player plays.

    Attributes:
        config: Of the first run that it stands beside.
        arm: The arm of that run.
    """

    player: UnseeingPlayer
    spec: StageSpec
    config: RunConfig
    arm: str

    @property
    def kind(self) -> str:
        """What the player is called."""
        return PLAYERS[self.player]

    @property
    def title(self) -> str:
        """What the player is called, with the arm whose policy it knows something of."""
        return f"{self.kind} of {self.arm}" if self.player == "blind" else self.kind


def players_beside(returns: StageSpec) -> dict[UnseeingPlayer, StageSpec]:
    """The stages of all other players, by player.

    Those that know nothing of the policy belong to the game alone: all arms share them.

    Args:
        returns: The stage in which a run's policy plays.
    """
    section = {name: returns.config[name] for name in ("game", "environment")}
    section |= {"evaluation": without_curve(returns.config["evaluation"])}

    def plays(player: UnseeingPlayer) -> StageSpec:
        reads = {RETURNS.name: returns.key} if player == "blind" else {}
        return StageSpec(RETURNS.name, section | {"player": player}, reads, returns.seed)

    return {player: plays(player) for player in PLAYERS}
