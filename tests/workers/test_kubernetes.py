"""The Jobs of docs/cluster/job.yaml: that they hang together, and the script of their workers."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import ROOT, diamond, wait_until

FILE = ROOT / "docs" / "cluster" / "job.yaml"
STAND_IN = """#!/bin/sh
trap 'echo saved; exit 0' TERM
echo "$@"
while [ -e {busy} ]; do sleep 0.01; done
exit {code}
"""
"""In the place of `diamond`: it works as long as a file is there."""


def _documents() -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in yaml.safe_load_all(FILE.read_text())}


def _pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _documents()[name]["spec"]["template"]["spec"]
    return found


def test_the_volume_is_where_both_jobs_have_it() -> None:
    for name in ("diamond-study", "diamond-work"):
        (volume,) = _pod(name)["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == "diamond-home"
        (container,) = _pod(name)["containers"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/shared"}]
    assert _documents()["diamond-home"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_workers_that_are_taken_away_are_made_again() -> None:
    job = _documents()["diamond-work"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"]
    assert job["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    ]
    # Both are for pods that are not started again in their place.
    assert _pod("diamond-work")["restartPolicy"] == "Never"
    assert _pod("diamond-work")["terminationGracePeriodSeconds"] > 30


def test_the_command_in_front_is_one(tmp_path: Path) -> None:
    (container,) = _pod("diamond-study")["containers"]
    program, *words = container["args"]
    assert program == "diamond" and words[words.index("--jobs") + 1] == "0"
    words = [word.replace("/shared/home", str(tmp_path / "home")) for word in words]
    done = diamond(*words, "--dry-run")
    assert done.returncode == 0, done.stderr


def _begin(folder: Path, code: int = 0) -> "subprocess.Popen[bytes]":
    """The script of a worker, in a home where a command asks for something."""
    (container,) = _pod("diamond-work")["containers"]
    assert container["command"] == ["sh", "-c"]
    (script,) = container["args"]
    program = folder / "diamond"
    program.write_text(STAND_IN.format(busy=folder / "busy", code=code))
    program.chmod(0o755)
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            ["sh", "-c", script.replace("/shared/home", str(folder))],
            env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
            stdout=said,
        )


def _order(folder: Path) -> None:
    (folder / "studies" / "one" / "orders").mkdir(parents=True)
    (folder / "studies" / "one" / "orders" / "order.json").touch()


@pytest.mark.parametrize("code", [0, 2])
def test_a_worker_ends_as_its_command_does(tmp_path: Path, code: int) -> None:
    _order(tmp_path)
    assert _begin(tmp_path, code).wait(30) == code
    said = (tmp_path / "said").read_text()
    assert said == f"work --home {tmp_path} --jobs 1 --idle 24h\n"


def test_a_worker_that_is_taken_away_saves_and_is_not_complete(tmp_path: Path) -> None:
    _order(tmp_path)
    (tmp_path / "busy").touch()
    process = _begin(tmp_path)
    wait_until(lambda: "work" in (tmp_path / "said").read_text(), "the worker")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert (tmp_path / "said").read_text().endswith("saved\n")


def _begin_to_wait(folder: Path) -> "subprocess.Popen[bytes]":
    """The script where nothing is asked for, once it waits: `sleep` writes down that it runs."""
    sleep, waits = folder / "sleep", folder / "waits"
    sleep.write_text(f"#!/bin/sh\necho >> {waits}\nexec {shutil.which('sleep')} 0.01\n")
    sleep.chmod(0o755)
    process = _begin(folder)

    def waited() -> bool:
        assert process.poll() is None, "it does not wait"
        return waits.exists() and len(waits.read_text()) > 2

    wait_until(waited, "a worker that waits")
    assert (folder / "said").read_text() == ""
    return process


def test_a_worker_waits_until_something_is_asked_for(tmp_path: Path) -> None:
    process = _begin_to_wait(tmp_path)
    _order(tmp_path)
    assert process.wait(30) == 0
    assert (tmp_path / "said").read_text().startswith("work ")


def test_a_worker_that_is_taken_away_while_it_waits_is_not_complete(tmp_path: Path) -> None:
    process = _begin_to_wait(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert (tmp_path / "said").read_text() == ""
