"""Places in MLflow's user interface, as links that work in its own pages; nothing is opened."""

import json
from collections.abc import Sequence
from urllib.parse import urlencode

from diamond.tracking.names import PARTS, curve_name

PARENT_TAG = "mlflow.parentRunId"
COMPARE_TAG = "diamond.compare"
"""Names the study of a run that stands for an arm or a baseline; runs of one seed have none."""
RESULT_TAG = "diamond.result"
"""What a study found, or an arm has in the primary metric, in a line."""
VIEW_TAG = "mlflow.sharedViewState.diamond"
"""Of the experiment: the columns of the table of studies, as MLflow keeps a view that is shared."""

_NAME_COLUMN, _RESULT_COLUMN = "attributes.`Run Name`", f"tags.`{RESULT_TAG}`"
STUDIES_VIEW = json.dumps(
    {
        "selectedColumns": [_RESULT_COLUMN],
        "columnOrder": [_NAME_COLUMN, _RESULT_COLUMN],
        "columnWidths": {_NAME_COLUMN: 280, _RESULT_COLUMN: 640},
    }
)
_TRAINING = "machine_learning"  # MLflow opens on pages for language models unless told otherwise.


def studies_link(experiment_id: str) -> str:
    """The table of studies, with the columns of `STUDIES_VIEW`."""
    query = {"workflowType": _TRAINING, "viewStateShareKey": VIEW_TAG.rpartition(".")[2]}
    return f"#/experiments/{experiment_id}/runs?{urlencode(query)}"


def charts_link(experiment_id: str, study_id: str) -> str:
    """The charts of all metrics for the arms and baselines of a study, by its parent run.

    Only runs in order of their creation are shown as a tree, whose closed branches have no charts:
    the order here is that of their names.
    """
    query = {
        "workflowType": _TRAINING,
        "compareRunsMode": "CHART",
        "searchFilter": f"tags.`{COMPARE_TAG}` != '' AND tags.`{PARENT_TAG}` = '{study_id}'",
        "orderByKey": "tags.`mlflow.runName`",
        "orderByAsc": "true",
    }
    return f"#/experiments/{experiment_id}/runs?{urlencode(query)}"


def curves_link(experiment_id: str, run_ids: Sequence[str], metric: str) -> str:
    """One plot of a metric against the time step: mean and bounds of each run.

    Args:
        run_ids: The runs, at least one.
    """
    names = [curve_name(metric, part) for part in PARTS]
    query = {
        "runs": _json(run_ids),
        "metric": _json(names[0]),
        "experiments": _json([experiment_id]),
        "plot_metric_keys": _json(names),
        "plot_layout": "{}",
        "x_axis": "step",
        "line_smoothness": "1",
        "workflowType": _TRAINING,
    }
    return f"#/metric?{urlencode(query)}"


def run_link(experiment_id: str, run_id: str) -> str:
    """The page of a run."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{urlencode({'workflowType': _TRAINING})}"


def artifact_link(experiment_id: str, run_id: str, path: str) -> str:
    """A file of a run in the viewer of artifacts."""
    query = urlencode({"workflowType": _TRAINING})
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{path}?{query}"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
