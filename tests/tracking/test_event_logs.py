"""Event logs of stages: what is appended is read again, whatever a kill left behind."""

import json
import math
from itertools import count
from pathlib import Path

import pytest

from diamond.errors import StoreError
from diamond.tracking.event_log import Event, EventLog, read_events


def test_a_log_reads_back_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    clock = count(1000)
    log = EventLog(path, now_ms=lambda: next(clock))
    log.metric(0, {"loss": 0.1, "bad": math.inf})
    assert not path.exists()
    assert log.commit() == path.stat().st_size
    log.metric(1, {"loss": 1e-17})
    log.commit()
    first, second = read_events(path, None)
    assert (first.time_ms, first.step, first.values["loss"]) == (1000, 0, 0.1)
    assert math.isnan(first.values["bad"])
    assert second == Event(1001, 1, {"loss": 1e-17})
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_a_reader_with_the_committed_size_sees_nothing_that_a_resume_makes_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.metric(0, {"loss": 1.0})
    checkpoint = log.commit()
    log.metric(1, {"loss": 2.0})
    log.commit()
    assert [e.step for e in read_events(path, checkpoint)] == [0]
    assert [e.step for e in read_events(path, checkpoint + 5)] == [0]

    resumed = EventLog(path)
    resumed.truncate(checkpoint)
    resumed.metric(1, {"loss": 3.0})
    resumed.commit()
    assert [(e.step, e.values["loss"]) for e in read_events(path, None)] == [(0, 1.0), (1, 3.0)]


def test_a_torn_last_line_is_not_read_and_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.metric(0, {"loss": 1.0})
    size = log.commit()
    with path.open("ab") as file:
        file.write(b'{"time": 5, "st')
    assert len(read_events(path, None)) == 1
    log.metric(9, {"loss": 9.0})
    log.truncate(size + 7)
    assert log.commit() == size


def test_a_log_shorter_than_its_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="0 bytes, its checkpoint says 10"):
        EventLog(tmp_path / "events.jsonl").truncate(10)
    EventLog(tmp_path / "events.jsonl").truncate(0)


@pytest.mark.parametrize("line", [b"no json\n", b"[1]\n", b'{"time": 1}\n'])
def test_a_damaged_line_is_an_error(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line)
    with pytest.raises(StoreError, match="not an event"):
        read_events(path, None)
