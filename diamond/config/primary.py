"""The metric in which the arms of a study are compared unless it names another one beforehand."""

from collections.abc import Iterable

from diamond.config.run import RunConfig

PRIMARY_METRIC = "core_ratio"
"""Of frames in general."""
PRIMARY_METRIC_OF_CELLS = "cell_accuracy_changed"
"""Of games whose frames are cells of a palette: most cells never change, and copying them is
no merit."""


def default_primary(configs: Iterable[RunConfig]) -> str:
    """The primary metric of what some runs imagine: it must be defined in all of them."""
    of_cells = all(config.shows_cells for config in configs)
    return PRIMARY_METRIC_OF_CELLS if of_cells else PRIMARY_METRIC
