"""What Optuna's dashboard shows of a sweep as text."""

import optuna
from optuna_dashboard import get_note, save_note

from diamond.results.model import Result
from diamond.studies.description import answer_paragraphs
from diamond.tracking.literal_markdown import code, escape


def note_sweep(study: optuna.Study, result: Result) -> None:
    """Write question, answer and place of the report beside the trials, where it says another.

    Args:
        study: The sweep in Optuna's storage.
        result: What it gave, with its report written.
    """
    assert result.paths.report_html is not None
    parts = [
        f"**Question:** {escape(result.question)}",
        *answer_paragraphs(result),
        f"**Report:** {code(result.paths.report_html)}",
    ]
    note = "\n\n".join(parts)
    if get_note(study) != note:
        save_note(study, note)
