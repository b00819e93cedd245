"""What can be made now: the same as a look at the whole plan would say, at no price."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diamond.plan.stage_keys import StageSpec
from diamond.workers.frontier import Frontier


def spec(number: int, *upstream: StageSpec) -> StageSpec:
    reads = {f"{other.stage}{index}": other.key for index, other in enumerate(upstream)}
    return StageSpec("frames", {"number": number}, reads, 0)


def looked_at(
    plan: list[StageSpec], finished: set[str], failed: set[str], begun: set[str]
) -> tuple[set[str], set[str]]:
    """What is ready and what is blocked, by the definition: every stage of the plan is asked."""
    broken = set(failed)
    for one in plan:  # each after what it reads
        if one.key not in finished and any(key in broken for key in one.upstream.values()):
            broken.add(one.key)
    ready = {
        one.key
        for one in plan
        if one.key not in finished | broken | begun and set(one.upstream.values()) <= finished
    }
    return ready, broken - failed


@st.composite
def plans(draw: st.DrawFn) -> list[StageSpec]:
    plan: list[StageSpec] = []
    for number in range(draw(st.integers(1, 12))):
        reads = (
            draw(st.lists(st.sampled_from(plan), max_size=3, unique_by=lambda one: one.key))
            if plan
            else []
        )
        plan.append(spec(number, *reads))
    return plan


@given(plans(), st.data())
def test_it_says_what_a_look_at_the_whole_plan_says(plan: list[StageSpec], data: Any) -> None:
    frontier = Frontier(data.draw(st.sampled_from(["", "mixed"])))
    frontier.add(data.draw(st.permutations(plan)), {})
    finished, failed, begun, blocked = set[str](), set[str](), set[str](), set[str]()
    while True:
        blocked |= {one.key for one, _ in frontier.newly_blocked()}
        ready, expected = looked_at(plan, finished, failed, begun)
        assert {one.key for one in frontier.ready()} == ready
        assert blocked == expected
        if not ready:
            break
        taken = frontier.take()
        assert taken is not None
        assert taken.key in ready
        begun.add(taken.key)
        if data.draw(st.booleans()):
            finished.add(taken.key)
            frontier.finish(taken.key)
        else:
            failed.add(taken.key)
            frontier.fail(taken.key)
    assert not frontier.waiting
    assert frontier.take() is None


def test_a_stage_that_another_process_finished_is_not_taken() -> None:
    a = spec(1)
    b = spec(2, a)
    frontier = Frontier()
    frontier.add([a, b], {a.key: 1.0, b.key: 2.0})
    frontier.finish(a.key)
    assert frontier.take() == b
    assert frontier.take() is None


def test_the_most_urgent_is_taken_first_whoever_says_so_last() -> None:
    first, second = spec(1), spec(2)
    frontier = Frontier()
    frontier.add([first, second], {first.key: 2.0, second.key: 1.0})
    frontier.add([second], {second.key: 3.0})
    assert [frontier.take(), frontier.take()] == [second, first]


def test_what_was_put_back_is_as_urgent_as_it_was() -> None:
    first, second = spec(1), spec(2)
    frontier = Frontier()
    frontier.add([first, second], {first.key: -1.0, second.key: -2.0})
    taken = frontier.take()
    assert taken == first
    frontier.add([taken], {})
    assert frontier.take() == first


def test_workers_want_stages_of_one_priority_in_orders_of_their_own() -> None:
    plan = [spec(number) for number in range(40)]
    orders = []
    for mix in ("one", "two"):
        frontier = Frontier(mix)
        frontier.add(plan, {})
        orders.append([frontier.take() for _ in plan])
    assert orders[0] != orders[1]
    assert sum(one is other for one, other in zip(*orders, strict=True)) < 8


@pytest.mark.parametrize("size", [500, 2000])
def test_the_steps_for_a_stage_do_not_grow_with_the_plan(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of chains: what is counted anew for a stage is what reads it, however many wait."""
    counted = 0
    recount = Frontier._recount

    def counting(self: Frontier, key: str) -> None:
        nonlocal counted
        counted += 1
        recount(self, key)

    monkeypatch.setattr(Frontier, "_recount", counting)
    plan: list[StageSpec] = []
    for number in range(size):
        plan.append(spec(number, *plan[-1:]) if number % 4 else spec(number))
    frontier = Frontier()
    frontier.add(plan, {})
    while (one := frontier.take()) is not None:
        frontier.finish(one.key)
    assert not frontier.waiting
    assert counted <= 2 * size
