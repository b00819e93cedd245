"""The answer of a study, made once for every place that shows it."""

from diamond.report.answer.against_part import against_part
from diamond.report.answer.compared import compared
from diamond.report.answer.found_part import found_part
from diamond.report.answer.sure_part import next_commands, sure_part
from diamond.report.search.search_answer import answer_search
from diamond.report.warning import warn
from diamond.results.answer_model import Answer
from diamond.results.model import Result


def answered(doc: Result) -> Result:
    """A result with its answer, the warning and the next commands.

    Args:
        doc: With the paths that commands name; what it says already is made again.
    """
    found = (
        tuple(_answer(doc, game) for game in doc.games)
        if doc.search is None
        else (answer_search(doc.search, doc.games),)
    )
    several = len(found) > 1
    told = [
        f"{f'{one.game}: ' if several else ''}{one.found.head} {one.found.text}".rstrip()
        for one in found
    ]
    return doc.model_copy(
        update={
            "answers": found,
            "summary": " ".join(told),
            "warning": "" if doc.search is not None else warn(doc),
            "next": next_commands(doc),
        }
    )


def _answer(doc: Result, game: str) -> Answer:
    about = compared(doc, game)
    return Answer(
        game=game,
        best=about.best.name if about.best is not None and about.beaten() else None,
        found=found_part(about),
        against=against_part(about),
        sure=sure_part(about),
    )
