"""Claims on a stage: who may work there, and when another takes over."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diamond.engine import stage_claim as claim_module
from diamond.engine.files import read_json, write_json
from diamond.engine.stage_claim import CACHED_SECONDS, STALE_SECONDS, Claim, Held, living_holders
from diamond.errors import OvertakenError
from diamond.tracking.owner import current_owner, start_time
from tests.commands import ROOT


def test_a_claim_is_held_by_one_and_free_when_its_block_ends(tmp_path: Path) -> None:
    first, second = Claim(tmp_path), Claim(tmp_path)
    assert first.holder() is None
    assert first.try_acquire()
    assert not second.try_acquire()
    with first.kept_alive():
        assert second.holder() == f"process {os.getpid()} on {os.uname().nodename}"
    assert second.holder() is None
    assert second.try_acquire()
    assert [path.name for path in tmp_path.iterdir()] == ["claim-2.json"]


def test_of_processes_that_want_a_claim_at_once_one_gets_it(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from diamond.engine.stage_claim import Claim\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(Claim(Path(sys.argv[1])).try_acquire(), flush=True)\n"
        "sys.stdin.readline()"  # a process that is gone holds nothing: stay until all have tried
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert [_line(racer) for racer in racers] == ["ready\n"] * 4
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [_line(racer) for racer in racers]
    for racer in racers:
        racer.communicate("end\n")
    assert sorted(results) == ["False\n"] * 3 + ["True\n"]


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_claim_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from diamond.engine.stage_claim import Claim;"
        "assert Claim(Path(sys.argv[1])).try_acquire()"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT)
    assert read_json(tmp_path / "claim-1.json") is not None
    assert Claim(tmp_path).holder() is None
    assert Claim(tmp_path).try_acquire()


def test_a_process_number_used_again_does_not_hold_an_old_claim(tmp_path: Path) -> None:
    host, pid, start = current_owner().rsplit(":", 2)
    assert start == start_time(int(pid))
    write_json(tmp_path / "claim-1.json", {"owner": f"{host}:{pid}:{int(start) - 1}", "token": "a"})
    assert Claim(tmp_path).try_acquire()


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.pass_by)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def test_a_claim_is_stale_when_its_counter_stood_still_before_the_eyes_of_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No time of a file and no wall clock counts: the files may be as old as they like."""
    clock = Clock(monkeypatch)
    path = tmp_path / "claim-1.json"
    write_json(path, {"owner": "elsewhere:1:99", "token": "abc"})
    os.utime(path, (1, 1))
    waiting = Claim(tmp_path)
    assert waiting.holder() == "process 1 on elsewhere"
    clock.now += STALE_SECONDS - 1
    assert not waiting.try_acquire()
    (tmp_path / "beat-abc").write_text("1")
    assert not waiting.try_acquire()
    clock.now += STALE_SECONDS - 1
    assert not waiting.try_acquire()
    assert not Claim(tmp_path).try_acquire(), "who comes now has seen nothing yet"
    clock.now += 2
    assert waiting.holder() is None
    assert waiting.try_acquire()
    assert waiting.previous == Held(1, "elsewhere:1:99", "abc")


def test_on_a_network_file_system_a_claim_is_stale_once_no_cache_can_hide_its_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    (tmp_path / "mounts").write_text(f"host:/ {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr("diamond.tracking.mounts._MOUNTS", tmp_path / "mounts")
    write_json(tmp_path / "claim-1.json", {"owner": "elsewhere:1:99", "token": "abc"})
    waiting = Claim(tmp_path)
    assert not waiting.try_acquire()
    clock.now += STALE_SECONDS + CACHED_SECONDS - 1
    assert not waiting.try_acquire()
    clock.now += 2
    assert waiting.try_acquire()


def test_a_claim_in_an_old_list_of_names_is_not_taken_for_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host lists the folder as it was before claim 5 took the place of claim 3."""
    clock = Clock(monkeypatch)
    write_json(tmp_path / "claim-5.json", {"owner": "elsewhere:1:99", "token": "abc"})
    listed = Path.iterdir
    cached = [tmp_path / "claim-3.json"]
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(cached))
    waiting = Claim(tmp_path)
    assert waiting.holder() is not None
    assert waiting.lives() is None
    assert not waiting.try_acquire()
    monkeypatch.setattr(Path, "iterdir", listed)
    clock.now += STALE_SECONDS - 1
    assert not waiting.try_acquire(), "the counter of the claim that it finds now is new to it"
    assert [path.name for path in tmp_path.iterdir()] == ["claim-5.json"]


def test_whether_the_process_of_another_host_lives_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    for name in ("dead", "alive", "here", "free"):
        (tmp_path / name).mkdir()
    for name in ("dead", "alive"):
        claim = {"owner": "elsewhere:1:99", "token": "abc"}
        write_json(tmp_path / name / "claim-1.json", claim)
    assert Claim(tmp_path / "here").try_acquire()
    began = clock.now

    def pass_by(seconds: float) -> None:
        clock.now += seconds
        (tmp_path / "alive" / "beat-abc").write_text(str(clock.now))

    monkeypatch.setattr(time, "sleep", pass_by)
    found = living_holders([Claim(tmp_path / n) for n in ("dead", "alive", "here", "free")])
    here = f"process {os.getpid()} on {os.uname().nodename}"
    assert found == [None, "process 1 on elsewhere", here, None]
    assert STALE_SECONDS < clock.now - began < STALE_SECONDS + 2


def test_a_claim_beats_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_module, "HEARTBEAT_SECONDS", 0.01)
    claim = Claim(tmp_path)
    assert claim.try_acquire()
    with claim.kept_alive():
        claim.report(2, 5, "half")
        deadline = time.monotonic() + 10
        while Claim(tmp_path).beat().count < 3:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        beat = Claim(tmp_path).beat()
    assert (beat.done, beat.total, beat.note) == (2, 5, "half")


def test_a_claim_that_was_taken_over_is_left_to_the_other_and_the_owner_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_module, "HEARTBEAT_SECONDS", 0.01)
    claim = Claim(tmp_path)
    assert claim.try_acquire()
    with claim.kept_alive():
        claim.check(on_disk=True)
        write_json(tmp_path / "claim-2.json", {"owner": "elsewhere:1:99", "token": "other"})
        with pytest.raises(OvertakenError):
            claim.check(on_disk=True)
        deadline = time.monotonic() + 10
        while not claim._lost.is_set() and time.monotonic() < deadline:
            time.sleep(0.005)
        with pytest.raises(OvertakenError, match="process 1 on elsewhere took it over"):
            claim.check()
    assert Claim(tmp_path).holder() == "process 1 on elsewhere"


@pytest.mark.parametrize("content", ["", "[]", "7", '{"owner": 7}', '{"owner": "x"', "\x00", "{}"])
def test_a_claim_that_cannot_be_read_is_held_by_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "claim-3.json").write_text(content)
    claim = Claim(tmp_path)
    assert claim.holder() is None
    assert claim.try_acquire()
    assert [path.name for path in tmp_path.iterdir()] == ["claim-4.json"]


def test_a_claim_on_a_folder_that_is_gone_is_not_had(tmp_path: Path) -> None:
    assert not Claim(tmp_path / "gone").try_acquire()
    assert Claim(tmp_path / "gone").holder() is None
