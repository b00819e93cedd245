"""What a command asks of workers, as a file."""

from pathlib import Path

from diamond.plan.stage_keys import StageSpec
from diamond.workers.work_order import OrderWriter, order_files, read_order
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
    OrderWriter(tmp_path / "studies" / "mine", {b.key: "the second"}).ask_for(
        [b, c], {b.key: 2.5}, frozenset({a.key})
    )
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


def test_a_command_takes_the_place_of_one_that_died(tmp_path: Path) -> None:
    """Of what the first asked for, one stage is done by now."""
    a, b, c = spec(1), spec(2), spec(3)
    writer(tmp_path).ask_for([a, b], {})
    writer(tmp_path).ask_for([b, c], {}, frozenset({a.key}))
    assert orders(tmp_path) == [{b.key, c.key}]


def test_a_command_leaves_what_another_one_wants(tmp_path: Path) -> None:
    a, b = spec(1), spec(2)
    writer(tmp_path).ask_for([a], {})
    writer(tmp_path).ask_for([b], {})
    assert sorted(map(sorted, orders(tmp_path))) == sorted([[a.key], [b.key]])
