"""Workers in a real Slurm of three nodes on this host: what they make has the bits of a local run.

Nodes that go, jobs that queue again, commands that die, and what Slurm or its nodes refuse.
"""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from diamond.config.processes import python_command
from diamond.engine.devices import Workers
from diamond.engine.home import open_home
from diamond.engine.stage_claim import Claim
from diamond.errors import DiamondError, EngineError
from diamond.workers import work_order
from diamond.workers.child_processes import shared_code
from diamond.workers.engines import find_launcher, read_engine, work_command
from diamond.workers.slurm import SlurmLauncher, slurm_time
from diamond.workers.work_order import OrderWriter
from tests.campaign.layout import works
from tests.commands import (
    SMOKE,
    STUDY,
    begin,
    diamond,
    digests,
    report,
    smoke_plan,
    wait_until,
)
from tests.workers.slurm_cluster import Cluster, cluster, missing

SLURM = ("--engine", "slurm")
LONG = ("steps=1", "--preset", "smoke", "--until", "denoiser", "--name", "long", "--set")
"""A study whose last stage takes some time, which stands behind it: its number of updates."""


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    if why := missing():
        pytest.skip(why)
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
    return list(
        json.loads((home / "studies" / study / "workers" / "slurm.json").read_text())["jobs"]
    )


def logs(home: Path, study: str) -> str:
    return _logged(home / "studies" / study)


def trains(home: Path) -> bool:
    """Whether a worker trains the denoiser, and is past the first place where it can save."""
    claims = [Claim(home / "work" / work.name) for work in works(home) if work.stage == "denoiser"]
    return any(claim.beat().done > 20 for claim in claims)


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
    local = begin(tmp_path / "local", *LONG, "denoiser.updates=500", "--jobs", "1")
    home, words = tmp_path / "home", (*LONG, "denoiser.updates=500", *SLURM, "--jobs", "1")
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
    many = (*LONG, "denoiser.updates=3000", "--jobs", "1")
    home, options = tmp_path / "home", "time=1 signal-seconds=20"
    front = begin(home, *many, *SLURM, "--engine-options", options)
    _, errors = front.communicate(timeout=900)
    assert front.returncode == 0, errors
    said = logs(home, "long")
    assert said.count(" begins on ") > 1, said
    assert "DUE TO TIME LIMIT" not in said, said
    assert len(jobs(home, "long")) == 1
    local = begin(tmp_path / "local", *many)
    _, errors = local.communicate(timeout=900)
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


def test_a_worker_of_another_version_says_both(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    open_home(home)
    monkeypatch.setattr(work_order, "shared_code", lambda: {**shared_code(), "sources": "0" * 64})
    OrderWriter(home / "studies" / "x", {}).ask_for(smoke_plan().stages(), {})
    launcher = SlurmLauncher(home / "studies" / "x", work_command(home, "x", {}, Workers(0)), {})
    launcher.submit(1)
    wait_until(lambda: launcher.alive() == 0, "the end of the worker")
    fate = launcher.fate()
    assert f"sources is {shared_code()['sources']} in the worker, {'0' * 64} in the command" in fate
    assert "exit code 2" in fate


def test_one_task_of_an_array_queues_again(slurm: Cluster, tmp_path: Path) -> None:
    """The number of its last task is that of the array: the others must run on."""
    folder = tmp_path / "studies" / "x"
    (folder / "orders").mkdir(parents=True)
    (folder / "orders" / "x.json").touch()
    worker = "trap 'exit 0' USR1; echo ready; while :; do sleep 0.1; done"
    launcher = SlurmLauncher(folder, ["bash", "-c", worker], {})
    launcher.submit(2)
    wait_until(lambda: _logged(folder).count("ready") == 2, "two workers")
    (job,) = json.loads((folder / "workers" / "slurm.json").read_text())["jobs"]
    slurm.ask("scancel", "--signal=USR1", "--batch", f"{job}_1")
    wait_until(lambda: _logged(folder).count("ended with exit code 0") == 1, "its end")
    wait_until(lambda: "workers: 1 run, 1 wait" in _told(launcher), "its place in the queue")
    assert slurm.ask("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%K") == "0"
    (folder / "orders" / "x.json").unlink()
    slurm.ask("scancel", "--signal=USR1", "--batch", f"{job}_0")
    wait_until(lambda: launcher.alive() == 1, "the end of a worker that has nothing left")


def _logged(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob("workers/*.log")))


def test_a_node_that_does_not_see_the_home_is_named(slurm: Cluster) -> None:
    if slurm.unseen is None:
        pytest.skip("the system allows no mount")
    home = slurm.unseen / "home"
    options = {"nodelist": "n3"}
    launcher = SlurmLauncher(home / "studies" / "x", python_command("diamond"), options)
    launcher.submit(1)
    wait_until(lambda: launcher.alive() == 0, "the end of the worker")
    assert "on n3, is FAILED" in launcher.fate()
    assert "its node may not see the home" in launcher.fate()


def test_workers_wait_with_a_reason_and_are_dismissed(slurm: Cluster, tmp_path: Path) -> None:
    launcher = SlurmLauncher(tmp_path / "studies" / "x", ["sleep", "60"], {"cpus-per-task": "2"})
    launcher.submit(5)
    wait_until(lambda: "workers: 3 run, 2 wait" in _told(launcher), "three workers")
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
        assert "it has no log in" in launcher.fate()


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
        ("partion=main", "unknown option of slurm 'partion'. Did you mean 'partition'?"),
        ("signal-seconds=x", "signal-seconds is 'x': a number from 1 on is needed"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    slurm: Cluster, tmp_path: Path, options: str, said: str
) -> None:
    choice = partial(read_engine, "slurm", options, detach=False)
    with pytest.raises(DiamondError) as raised:
        find_launcher(choice(), tmp_path / "home", "x", Workers(1))
    assert said in str(raised.value)
    assert not (tmp_path / "home").exists()


def test_the_sentence_of_sbatch_is_shown(slurm: Cluster, tmp_path: Path) -> None:
    words = (*SMOKE, *SLURM, "--engine-options", "gres=gpu:1", "--home", str(tmp_path / "home"))
    done = diamond("ablate", *words, page=False)
    assert done.returncode == 2
    assert "sbatch: error: Invalid generic resource (gres) specification" in done.stderr
    assert "--gres=gpu:1" in done.stderr
    assert not list(tmp_path.glob("home/studies/*/workers/slurm*"))


TIMES = {
    "90": 5400,
    "1:30": 90,
    "2:00:30": 7230,
    "1-12": 129600,
    "1-12:30": 131400,
    "1-0:0:1": 86401,
}


@pytest.mark.parametrize(
    ("text", "seconds"), [*TIMES.items(), ("UNLIMITED", None), ("1:2:3:4", None)]
)
def test_times_are_read(text: str, seconds: int | None) -> None:
    assert slurm_time(text) == seconds


@pytest.mark.parametrize(("text", "seconds"), TIMES.items())
def test_sbatch_reads_times_alike(slurm: Cluster, text: str, seconds: int) -> None:
    """Slurm shows a limit in whole minutes, rounded up."""
    job = slurm.ask("sbatch", "--parsable", "--hold", f"--time={text}", "--wrap=true")
    shown = slurm.ask("squeue", "-h", "-j", job, "-o", "%l")
    assert slurm_time(shown) == 60 * -(-seconds // 60)


@pytest.mark.parametrize("name", ["a%A", "a\\b", "a\nb"])
def test_a_path_that_slurm_takes_for_another_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match="give a home with a path of printable letters"):
        SlurmLauncher(tmp_path / name / "studies" / "x", ["true"], {})


def test_a_machine_without_slurm_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = (*SMOKE, *SLURM, "--home", str(tmp_path / "home"))
    done = diamond("ablate", *words, page=False)
    assert done.returncode == 2
    assert "there is no 'sinfo' on this machine: Slurm is not installed" in done.stderr
    assert not (tmp_path / "home").exists()
