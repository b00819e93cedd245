"""Who plays the real game when returns are measured."""

from collections.abc import Mapping
from typing import Literal

UnseeingPlayer = Literal["random", "random_held", "constant", "blind"]
"""Players that look at no frame."""
Player = Literal["policy"] | UnseeingPlayer
PLAYERS: Mapping[UnseeingPlayer, str] = {
    "random": "random play",
    "random_held": "held random play",
    "constant": "best constant action",
    "blind": "blind play",
}
"""What they are called, in the order of tables: actions drawn uniformly; the same, each action held
for a while; the same action always; actions drawn as often as the policy takes them."""
