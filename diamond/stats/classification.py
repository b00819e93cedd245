"""How well classes and probabilities agree with the truth; a class without an example is NaN."""

import numpy as np

from diamond.arrays import BoolArray, FloatArray, IntArray


def class_recall(truth: IntArray, guess: IntArray, num_classes: int) -> FloatArray:
    """Share of the examples of each class that are said to be of it.

    Args:
        truth: (n,) classes from 0 to num_classes - 1.
        guess: (n,), the same range.

    Returns:
        (num_classes,) in [0, 1]; NaN for a class without an example.

    Raises:
        ValueError: Lengths differ, or a class is out of range.
    """
    _check(truth, guess, num_classes)
    right = np.bincount(truth[truth == guess], minlength=num_classes).astype(np.float64)
    counts = np.bincount(truth, minlength=num_classes)
    return np.where(counts > 0, right / np.maximum(counts, 1), np.nan)


def class_precision(truth: IntArray, guess: IntArray, num_classes: int) -> FloatArray:
    """Share of what is said to be of each class that is of it.

    It is `class_recall` with truth and guess exchanged: NaN for a class that is never said.
    """
    return class_recall(guess, truth, num_classes)


def balanced_accuracy(truth: IntArray, guess: IntArray, num_classes: int) -> float:
    """Mean of `class_recall` over the classes with an example; NaN without any.

    Naming one class always gets 1 / (classes with an example), however frequent that class is.
    """
    recall = class_recall(truth, guess, num_classes)
    defined = recall[~np.isnan(recall)]
    return float(defined.mean()) if len(defined) else np.nan


def macro_f1(truth: IntArray, guess: IntArray, num_classes: int) -> float:
    """Mean over the classes with an example of 2 TP / (2 TP + FP + FN).

    A class without an example is left out: no guess could have been right about it. Its false
    alarms still count, as misses of the classes that they were.

    Returns:
        In [0, 1]; NaN without any example.

    Raises:
        ValueError: As for `class_recall`.
    """
    _check(truth, guess, num_classes)
    right = np.bincount(truth[truth == guess], minlength=num_classes)
    counts = np.bincount(truth, minlength=num_classes)
    said = np.bincount(guess, minlength=num_classes)
    present = counts > 0
    if not present.any():
        return np.nan
    return float((2 * right[present] / (counts + said)[present]).mean())


def auroc(truth: BoolArray, score: FloatArray) -> float:
    """Area under the receiver operating characteristic: P(a positive scores above a negative).

    Ties count one half: (R - p (p + 1) / 2) / (p q), R the sum of the ranks of the p positives
    among all, q the number of negatives.

    Args:
        truth: (n,) whether an example is positive.
        score: (n,), higher is more likely positive.

    Returns:
        In [0, 1], .5 by chance; NaN when there is no positive or no negative.

    Source: Mann and Whitney (1947); Hanley and McNeil (1982), The meaning and use of the area
        under a receiver operating characteristic curve.
    """
    num_positive = int(truth.sum())
    num_negative = len(truth) - num_positive
    if not num_positive or not num_negative:
        return np.nan
    # It takes a second to import, and training needs the rest of this module alone.
    from scipy.stats import rankdata  # noqa: PLC0415

    ranks = rankdata(score)
    above = float(ranks[truth].sum()) - num_positive * (num_positive + 1) / 2
    return above / (num_positive * num_negative)


def brier_score(truth: BoolArray, probability: FloatArray) -> float:
    """Mean squared difference between a probability and what happened, in [0, 1]; NaN of nothing.

    Saying the frequency f of the event always scores f (1 - f).

    Args:
        truth: (n,) whether it happened.
        probability: (n,) in [0, 1].

    Source: Brier (1950), Verification of forecasts expressed in terms of probability.
    """
    return float(np.square(probability - truth).mean()) if len(truth) else np.nan


def _check(truth: IntArray, guess: IntArray, num_classes: int) -> None:
    if truth.shape != guess.shape or truth.ndim != 1:
        raise ValueError(f"truth {truth.shape} and guess {guess.shape} must be (n,)")
    for name, classes in (("truth", truth), ("guess", guess)):
        if len(classes) and not 0 <= classes.min() <= classes.max() < num_classes:
            raise ValueError(
                f"{name} has classes from {classes.min()} to {classes.max()}, "
                f"allowed: 0 to {num_classes - 1}"
            )
