"""Workers in a real Slurm of three nodes on this host: what they make has the bits of a local run.

Nodes that go, jobs that queue again, commands that die, and what Slurm or its nodes refuse.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from diamond.config.processes import python_command
from diamond.engine.devices import Workers
from diamond.engine.home import open_home
from diamond.engine.stage_claim import Claim
from diamond.errors import EngineError, RequestError
from diamond.workers.engines import EngineChoice, find_launcher, work_command
from diamond.workers.slurm import SlurmLauncher
from tests.campaign.layout import works
from tests.commands import (
    PAGELESS,
    SMOKE,
    STUDY,
    begin,
    diamond,
    digests,
    environment,
    report,
    wait_until,
)
from tests.workers.slurm_cluster import Cluster, cluster, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

SLURM = ("--engine", "slurm")
LONG = ("steps=1", "--preset", "smoke", "--until", "denoiser", "--name", "long", "--set")
"""A study whose last stage takes some time, which stands behind it: its number of updates."""


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    with cluster() as found, pytest.MonkeyPatch.context() as patch:
        for name, text in found.variables.items():
            patch.setenv(name, text)
        for name in [name for name in os.environ if name.startswith(("SBATCH_", "SQUEUE_"))]:
            patch.delenv(name)
        yield found


@pytest.fixture
def slurm(started: Cluster) -> Cluster:
    started.clear()
    return started


def jobs(home: Path, study: str) -> list[str]:
    return list(json.loads((home / "studies" / study / "workers" / "slurm.json").read_text())["jobs"])


def logs(home: Path, study: str) -> str:
    folder = home / "studies" / study / "workers"
    return "\n".join(path.read_text() for path in sorted(folder.glob("slurm-*.log")))


def trains(home: Path) -> bool:
    """Whether a worker trains the denoiser, and has something to save."""
    claims = [Claim(home / "work" / work.name) for work in works(home) if work.stage == "denoiser"]
    return any(claim.beat().done > 0 for claim in claims)


def saved(home: Path) -> list[Path]:
    """Checkpoints of the denoiser."""
    return list(home.glob("work/denoiser/*/attempts/*/checkpoint/state.safetensors"))


def test_an_ablation_over_three_nodes_has_the_bits_of_a_local_run(
    slurm: Cluster, tmp_path: Path, smoke_home: Path
) -> None:
    home = tmp_path / "a 'home'"
    done = diamond(
        "ablate", *SMOKE, "--until", "fidelity", *SLURM, "--jobs", "3",
        "--engine-options", "partition=main time=10", "--home", str(home), page=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made, known = digests(home), digests(smoke_home)
    assert made == {name: known[name] for name in made}
    assert {name.partition("/")[0] for name in made} >= {"denoiser", "fidelity", "rollouts"}
    assert report(home)["arms"]
    said = logs(home, STUDY)
    assert len({line.split()[-1] for line in said.splitlines() if "begins on" in line}) > 1, said
    assert "nothing is left to make" in said
    script = next((home / "studies" / STUDY / "workers").glob("slurm-0.sh")).read_text()
    assert "#SBATCH --partition=main\n#SBATCH --time=10\n" in script
    assert f'#SBATCH "--chdir={home}/studies/{STUDY}"' in script
    assert f"Slurm job {jobs(home, STUDY)[0]}: squeue -r -j" in done.stderr


def test_a_stage_outlives_its_node_its_time_and_its_commands(
    slurm: Cluster, tmp_path: Path
) -> None:
    """Its job is detached, loses its node, and is told that its time is over; commands die."""
    local = begin(tmp_path / "local", *LONG, "denoiser.updates=600", "--jobs", "1")
    home, words = tmp_path / "home", (*LONG, "denoiser.updates=600", *SLURM, "--jobs", "1")
    done = diamond("ablate", *words, "--detach", "--home", str(home), page=False)
    assert done.returncode == 0, done.stderr
    assert "the same command without --detach shows how far it is" in done.stderr
    (job,) = jobs(home, "long")

    wait_until(lambda: trains(home), "the denoiser")
    node = slurm.ask("squeue", "-h", "-j", job, "-o", "%N")
    slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    wait_until(lambda: not works(home), "the end of the worker of a node that is taken away")
    assert saved(home)

    first = begin(home, *words)
    wait_until(lambda: trains(home), "the denoiser on another node")
    assert slurm.ask("squeue", "-h", "-j", job, "-o", "%N") != node
    slurm.ask("scancel", "--signal=USR1", "--batch", job)
    wait_until(lambda: not works(home), "the end of a worker whose time is over")
    first.kill()
    first.communicate()

    second = begin(home, *words)
    _, errors = second.communicate(timeout=240)
    assert second.returncode == 0, errors
    assert jobs(home, "long") == [job], "it was there all the time"
    said = logs(home, "long")
    assert said.count(" begins on ") == 3, said
    assert said.count("asked to end: saves what is being made") == 2, said
    _, errors = local.communicate(timeout=240)
    assert local.returncode == 0, errors
    assert digests(home) == digests(tmp_path / "local")


@pytest.mark.slow
def test_a_time_limit_ends_no_stage(slurm: Cluster, tmp_path: Path) -> None:
    """The denoiser takes longer than the least limit that Slurm has, a minute."""
    many = (*LONG, "denoiser.updates=8000")
    home, words = tmp_path / "home", (*many, *SLURM, "--engine-options", "time=1 signal-seconds=20")
    done = diamond("ablate", *words, "--jobs", "1", "--home", str(home), page=False)
    assert done.returncode == 0, done.stderr
    said = logs(home, "long")
    assert said.count(" begins on ") > 1, said
    assert "CANCELLED" not in said, said
    assert len(jobs(home, "long")) == 1
    local = begin(tmp_path / "local", *many, "--jobs", "1")
    _, errors = local.communicate(timeout=240)
    assert local.returncode == 0, errors
    assert digests(home) == digests(tmp_path / "local")


def test_cancel_saves_what_is_made_and_ends_what_waits(slurm: Cluster, tmp_path: Path) -> None:
    home, words = tmp_path / "home", (*LONG, "denoiser.updates=3000", *SLURM)
    done = diamond("ablate", *words, "--detach", "--home", str(home), page=False)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: trains(home), "the denoiser")
    slurm.ask("sbatch", "--hold", str(home / "studies" / "long" / "workers" / "slurm-0.sh"))
    other = slurm.ask("squeue", "-h", "-t", "PENDING", "-o", "%F")
    record = home / "studies" / "long" / "workers" / "slurm.json"
    known = json.loads(record.read_text())
    record.write_text(json.dumps({**known, "jobs": [*known["jobs"], other]}))
    done = diamond("work", "--cancel", "--home", str(home), "--study", "long")
    assert done.returncode == 0, done.stderr
    assert "they save what they make" in done.stdout
    wait_until(lambda: not slurm.ask("squeue", "-h", "-o", "%i"), "the end of all jobs")
    assert saved(home)
    assert not works(home)


def test_what_a_worker_says_at_its_end_is_shown(slurm: Cluster, tmp_path: Path) -> None:
    """A home that is none: a worker says so in its log, with exit code 2."""
    command = work_command(tmp_path / "away", "x", {}, Workers(0))
    launcher = SlurmLauncher(tmp_path / "home" / "studies" / "x", command, {})
    launcher.submit(2)
    wait_until(lambda: launcher.alive() == 0, "the end of the workers")
    fate = launcher.fate()
    assert "is FAILED (NonZeroExitCode), exit code 2" in fate
    assert "there is no home at" in fate


def test_a_node_that_does_not_see_the_home_is_named(slurm: Cluster) -> None:
    if slurm.unseen is None:
        pytest.skip("the system allows no mount")
    home = slurm.unseen / "home"
    options = {"nodelist": "n3"}
    launcher = SlurmLauncher(home / "studies" / "x", python_command("diamond"), options)
    launcher.submit(1)
    wait_until(lambda: launcher.alive() == 0, "the end of the worker")
    assert "on n3, is FAILED" in launcher.fate()
    assert "its node may not see it" in launcher.fate()


def test_workers_wait_with_a_reason_and_are_dismissed(slurm: Cluster, tmp_path: Path) -> None:
    launcher = SlurmLauncher(tmp_path / "studies" / "x", ["sleep", "60"], {"cpus-per-task": "2"})
    launcher.submit(5)
    wait_until(lambda: "3 workers run, 2 wait" in _told(launcher), "three workers")
    assert "2 wait (" in _told(launcher)
    assert launcher.alive() == 5
    launcher.dismiss()
    assert launcher.alive() == 3


def _told(launcher: SlurmLauncher) -> str:
    launcher.alive()
    return "\n".join(launcher.told())


def test_jobs_that_slurm_forgot_are_no_error(slurm: Cluster, tmp_path: Path) -> None:
    launcher = SlurmLauncher(tmp_path / "studies" / "x", ["true"], {})
    launcher.submit(1)
    record = tmp_path / "studies" / "x" / "workers" / "slurm.json"
    for known in (["99999"], ["99998", "99999"]):
        record.write_text(json.dumps({"options": {}, "jobs": known}))
        assert launcher.alive() == 0
        launcher.cancel()
        assert "there is no log" in launcher.fate()


def test_variables_of_sbatch_do_not_change_what_is_asked(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "another")
    SlurmLauncher(tmp_path / "studies" / "x", ["true"], {"partition": "main"}).submit(1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("partition=man", "unknown partition of Slurm 'man'. Did you mean 'main'?"),
        ("time=0:30", "time is '0:30', 30 s"),
        ("time=2", "time is '2', 120 s: a worker is asked to end 120 s before that"),
        ("gres=gpu:1", "sbatch: error: Invalid generic resource (gres) specification"),
        ("nodelist=n9", "Invalid node name specified"),
        ("partion=main", "unknown option of slurm 'partion'. Did you mean 'partition'?"),
        ("signal-seconds=x", "signal-seconds is 'x': a number from 1 on is needed"),
    ],
)
def test_what_slurm_refuses_is_told(
    slurm: Cluster, tmp_path: Path, options: str, said: str
) -> None:
    done = diamond("ablate", *SMOKE, *SLURM, "--engine-options", options, "--home", str(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
