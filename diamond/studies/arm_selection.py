"""The part of a plan that one command makes, where it is asked for some arms alone."""

from collections.abc import Collection, Sequence

from diamond.errors import RequestError, unknown
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageSpec


def check_arms(plan: Plan, only: Sequence[str]) -> None:
    """Refuse the name of an arm that the plan does not have.

    Raises:
        RequestError: There is no such arm.
    """
    names = list(dict.fromkeys(arm.name for arm in plan.with_controls))
    for name in only:
        if name not in names:
            raise unknown("arm", name, names, f"give it as the table shows it: --only {names[0]!r}")


def selected_stages(plan: Plan, only: Collection[str]) -> tuple[StageSpec, ...]:
    """The stages that some arms need, all of them when none is named.

    Baselines and players come with them: without these a table says little.
    """
    if not only:
        return plan.stages()
    needed = set[str]()
    for arm in plan.with_controls:
        if arm.kind == "baseline" or arm.name in only:
            needed |= {spec.key for run in arm.runs for spec in run.all_stages}
    return tuple(spec for spec in plan.stages() if spec.key in needed)


def chosen(kind: str, name: str | None, names: Sequence[str], hint: str) -> str:
    """The named one of several, or the only one.

    Args:
        kind: What they are, such as ``"arm"``.
        name: The one that the user named, None where nothing was said.
        names: All of them.
        hint: How to name one.

    Raises:
        RequestError: There is no such one, or several and none is named.
    """
    if name is None:
        if len(names) == 1:
            return names[0]
        raise RequestError(
            f"the study has {len(names)} {kind}s: {', '.join(sorted(names))}\n  {hint}"
        )
    if name not in names:
        raise unknown(kind, name, names, hint)
    return name
