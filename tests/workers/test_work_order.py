"""What a command asks of workers, as a file."""

from pathlib import Path

import pytest

from diamond.engine.store import Store
from diamond.plan.stage_keys import StageSpec
from diamond.workers import work_order
from diamond.workers.work_order import OrderWriter, order_files, read_order
from tests.commands import finish
from tests.sweeps import DEAD
from tests.workers.test_frontier import spec


def orders(home: Path) -> list[set[str]]:
    """The stages of each order of a home."""
    found = [read_order(path) for path in order_files(home)]
    return [{one.spec.key for one in order.stages} for order in found if order is not None]


def writer(home: Path) -> OrderWriter:
    return OrderWriter(home / "studies" / "mine", {})


def test_stages_are_read_as_they_were_asked_for(tmp_path: Path) -> None:
    a = spec(1)
    b, c = spec(2, a), StageSpec("denoiser", {"family": "diamond", "wide": (1, 2)}, {}, 3)
    OrderWriter(tmp_path / "studies" / "mine", {b.key: "the second"}).ask_for([b, c], {b.key: 2.5})
    (path,) = order_files(tmp_path)
    order = read_order(path)
    assert order is not None
    assert order.study == "mine"
    assert [one.spec.key for one in order.stages] == [b.key, c.key]
    assert [(one.name, one.priority) for one in order.stages] == [
        ("the second", 2.5),
        ("denoiser", 0.0),
    ]
    assert order.done == {a.key}


def test_a_command_has_one_file_whatever_it_adds_and_withdraws(tmp_path: Path) -> None:
    a, b = spec(1), spec(2)
    command = writer(tmp_path)
    command.ask_for([a], {})
    (first,) = order_files(tmp_path)
    command.ask_for([b], {})
    assert orders(tmp_path) == [{a.key, b.key}]
    assert read_order(first) is None
    command.withdraw([a.key])
    assert orders(tmp_path) == [{b.key}]
    command.remove()
    assert order_files(tmp_path) == []


@pytest.fixture
def of_a_dead_command(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What is written in the test is of a command that has ended, until it is undone."""
    monkeypatch.setattr(work_order, "current_owner", lambda: DEAD)
    return monkeypatch


def test_a_command_takes_the_place_of_one_that_died(
    tmp_path: Path, of_a_dead_command: pytest.MonkeyPatch
) -> None:
    """Of what the first asked for, one stage is done by now, known here or not."""
    a, b, c, d = (spec(number) for number in range(4))
    store = Store(tmp_path)
    store.check_writable()
    writer(tmp_path).ask_for([a, b, d], {})
    of_a_dead_command.undo()
    finish(store, a)
    store.prepare(d)
    finish(store, d)
    writer(tmp_path).ask_for([b, c], {}, {d.key})
    assert orders(tmp_path) == [{b.key, c.key}]


def test_what_a_dead_command_asked_for_beside_stays(
    tmp_path: Path, of_a_dead_command: pytest.MonkeyPatch
) -> None:
    a, b, c = spec(1), spec(2), spec(3)
    writer(tmp_path).ask_for([a, b], {})
    of_a_dead_command.undo()
    writer(tmp_path).ask_for([a, c], {})
    assert sorted(map(sorted, orders(tmp_path))) == sorted(
        [sorted([a.key, b.key]), sorted([a.key, c.key])]
    )


def test_what_a_dead_command_of_other_code_asked_for_goes(
    tmp_path: Path, of_a_dead_command: pytest.MonkeyPatch
) -> None:
    of_a_dead_command.setattr(work_order, "shared_code", lambda: {"torch": "1.2.3"})
    writer(tmp_path).ask_for([spec(1)], {})
    of_a_dead_command.undo()
    writer(tmp_path).ask_for([spec(2)], {})
    assert orders(tmp_path) == [{spec(2).key}]


def test_a_command_that_lives_keeps_its_order(tmp_path: Path) -> None:
    a = spec(1)
    writer(tmp_path).ask_for([a], {})
    second = writer(tmp_path)
    second.ask_for([a], {})
    assert orders(tmp_path) == [{a.key}] * 2
    second.remove()
    assert orders(tmp_path) == [{a.key}]


def test_an_order_that_another_machine_removed_is_written_again(tmp_path: Path) -> None:
    command = writer(tmp_path)
    command.keep()
    assert order_files(tmp_path) == [], "nothing was asked for yet"
    command.ask_for([spec(1)], {})
    order_files(tmp_path)[0].unlink()
    command.keep()
    assert orders(tmp_path) == [{spec(1).key}]
    command.remove()
    command.keep()
    assert order_files(tmp_path) == []


def test_what_is_done_is_asked_for_no_longer(tmp_path: Path) -> None:
    a, b = spec(1), spec(2)
    command = writer(tmp_path)
    command.ask_for([a], {})
    command.ask_for([b], {}, {a.key})
    assert (orders(tmp_path), command.num_stages) == ([{b.key}], 1)
