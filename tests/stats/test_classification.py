"""Recall, F1, balanced accuracy, AUROC and Brier score against scikit-learn and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from diamond.stats.classification import (
    auroc,
    balanced_accuracy,
    brier_score,
    class_recall,
    macro_f1,
)

ROUNDING = 1e-12
"""Ratios of small whole numbers, summed in another order."""
CLASSES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 8)), min_size=1, max_size=40
)


@given(CLASSES)
def test_classes_agree_with_scikit_learn(rows: list[tuple[int, int, int]]) -> None:
    truth, guess, _ = (np.array(column) for column in zip(*rows, strict=True))
    present = sorted(set(truth.tolist()))
    options = {"labels": present, "average": None, "zero_division": 0.0}
    recall = class_recall(truth, guess, 3)
    assert recall[present] == pytest.approx(
        sklearn.recall_score(truth, guess, **options), abs=ROUNDING
    )
    assert set(np.flatnonzero(np.isnan(recall))) == {0, 1, 2} - set(present)
    expected = sklearn.f1_score(truth, guess, **(options | {"average": "macro"}))
    assert macro_f1(truth, guess, 3) == pytest.approx(expected, abs=ROUNDING)
    assert balanced_accuracy(truth, guess, 3) == pytest.approx(
        sklearn.recall_score(truth, guess, **(options | {"average": "macro"})), abs=ROUNDING
    )


@given(CLASSES)
def test_probabilities_agree_with_scikit_learn(rows: list[tuple[int, int, int]]) -> None:
    truth = np.array([row[0] == 0 for row in rows])
    score = np.array([row[2] / 8 for row in rows])  # few values: many ties
    assert brier_score(truth, score) == pytest.approx(
        sklearn.brier_score_loss(truth, score, labels=[False, True]), abs=ROUNDING
    )
    if truth.all() or not truth.any():
        assert np.isnan(auroc(truth, score))
    else:
        assert auroc(truth, score) == pytest.approx(
            sklearn.roc_auc_score(truth, score), abs=ROUNDING
        )


def test_what_has_no_example_is_not_defined() -> None:
    nothing, guess = np.empty(0, np.int64), np.array([0, 0, 2])
    assert np.isnan(class_recall(nothing, nothing, 3)).all()
    assert np.isnan([macro_f1(nothing, nothing, 3), balanced_accuracy(nothing, nothing, 3)]).all()
    assert np.isnan(brier_score(np.empty(0, np.bool_), np.empty(0)))
    # Class 1 never happens; saying it is a miss of what happened, and no class of its own.
    truth = np.array([0, 0, 2])
    assert macro_f1(truth, np.array([0, 1, 2]), 3) == pytest.approx((2 / 3 + 1) / 2)
    assert class_recall(truth, guess, 3).tolist()[::2] == [1.0, 1.0]


def test_one_class_always_gets_its_share_however_frequent_it_is() -> None:
    truth = np.array([0] * 98 + [1, 2])
    assert balanced_accuracy(truth, np.zeros_like(truth), 3) == pytest.approx(1 / 3)


def test_bad_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(n,\)"):
        class_recall(np.array([0, 1]), np.array([0]), 2)
    with pytest.raises(ValueError, match="guess has classes from 0 to 3, allowed: 0 to 2"):
        macro_f1(np.array([0, 1]), np.array([0, 3]), 3)
