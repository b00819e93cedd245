"""What may be asked of a trained agent that takes the place of training."""

from collections.abc import Sequence

from diamond.config.checkpoint_record import Checkpoint
from diamond.config.game_names import recording_of
from diamond.errors import RequestError
from diamond.plan.find_axis import Axis
from diamond.plan.recordings.asked_recordings import FLAG
from diamond.plan.request import Request


def check_fits(request: Request, checkpoint: Checkpoint, axes: Sequence[Axis]) -> None:
    """Refuse what a trained agent leaves no choice in.

    Raises:
        RequestError: An axis, game or number of seeds that the checkpoint does not leave open.
    """
    if request.protocol == "online":
        raise RequestError(
            "--checkpoint with --protocol online: a checkpoint takes the place of training\n"
            "  leave one of the two out"
        )
    for axis in axes:
        if any(field.split(".", maxsplit=1)[0] in checkpoint.fixed() for field in axis.fields):
            raise RequestError(
                f"{axis.name} cannot be varied with --checkpoint: its networks are trained "
                "already\n  allowed: how frames are drawn (of DIAMOND steps, sampler.order and the "
                "rest of sampler) and evaluation"
            )
    if request.games != (checkpoint.game,):
        raise RequestError(
            f"--game {','.join(request.games)}: the checkpoint was trained on {checkpoint.game}\n"
            f"  leave {'--frames' if request.recordings else '--game'} out"
        )
    if request.recordings and recording_of(checkpoint.game) is None:
        raise RequestError(
            f"{FLAG} {request.recordings[0].name} with --checkpoint: nothing is trained, and with "
            "--game it is what networks are trained on\n"
            f"  leave {FLAG} out; `diamond fidelity CHECKPOINT {FLAG} NAME` scores on a recording"
        )
    if request.num_seeds != 1:
        raise RequestError(
            f"--seeds {request.num_seeds}: a checkpoint is one trained model\n  leave --seeds out"
        )
    if request.first_seed != 0:
        raise RequestError(
            f"--first-seed {request.first_seed}: a checkpoint is one trained model\n"
            "  leave --first-seed out"
        )
    if request.match in ("updates", "seconds"):
        raise RequestError(
            f"--match {request.match} with --checkpoint: nothing is trained\n"
            "  allowed: --match nfe, or leave it out"
        )
    if request.until == "frames":
        raise RequestError(
            "--until frames: with --checkpoint no frames are recorded for training\n"
            "  allowed: any other stage, for instance --until fidelity"
        )
