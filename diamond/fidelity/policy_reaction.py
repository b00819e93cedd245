"""How differently a policy sees imagined and real frames."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from diamond.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class Seen:
    """What a policy makes of a batch of trajectories.

    Attributes:
        logits: (starts, horizon, k) of the actions.
        values: (starts, horizon) of the frames.
    """

    logits: FloatArray
    values: FloatArray


def kl_divergence(p_logits: FloatArray, q_logits: FloatArray) -> FloatArray:
    """KL(p || q) = sum_a p(a) (log p(a) - log q(a)) of categorical distributions, in nats.

    Args:
        p_logits: (..., k) unnormalised log-probabilities.
        q_logits: The same shape.

    Returns:
        (...), at least 0.

    Source: Kullback and Leibler (1951), On information and sufficiency.
    """
    log_p = log_softmax(p_logits, axis=-1)
    log_q = log_softmax(q_logits, axis=-1)
    divergence: FloatArray = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    # Rounding alone makes equal distributions differ by less than nothing.
    return divergence.clip(min=0)


def entropy_ratio(logits: FloatArray) -> FloatArray:
    """Entropy of categorical distributions over that of the uniform one, ln k.

    Args:
        logits: (..., k) unnormalised log-probabilities.

    Returns:
        (...), 0 for a certain choice and 1 for chance; NaN where k is 1.

    Source: Shannon (1948), A mathematical theory of communication.
    """
    if logits.shape[-1] == 1:
        return np.full(logits.shape[:-1], np.nan)
    log_p = log_softmax(logits, axis=-1)
    ratio: FloatArray = -(np.exp(log_p) * log_p).sum(axis=-1) / np.log(logits.shape[-1])
    return ratio.clip(0, 1)  # rounding alone is beyond


def policy_scores(real: Seen, imagined: Seen, used: BoolArray) -> dict[str, FloatArray]:
    """Compare what a policy makes of imagined frames with what it makes of the real ones.

    Its entropy is that on the real frames.

    Args:
        real: What it makes of the real frames.
        imagined: What it makes of the imagined frames.
        used: (starts, horizon) bool, the frames that are compared.

    Returns:
        Arrays (starts, horizon) by name, NaN where not used.
    """
    found = {
        "policy_entropy": entropy_ratio(real.logits),
        "kl_policy": kl_divergence(real.logits, imagined.logits),
        "value_error": np.abs(real.values - imagined.values),
        "greedy_agreement": (real.logits.argmax(axis=-1) == imagined.logits.argmax(axis=-1)).astype(
            np.float64
        ),
    }
    return {name: np.where(used, values, np.nan) for name, values in found.items()}
