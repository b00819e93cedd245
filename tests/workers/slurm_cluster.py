"""A real Slurm of three nodes on this host, in a folder of its own."""

import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.commands import free_ports

TEMPLATE = Path(__file__).with_name("slurm.conf.template")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
NODES = ("n1", "n2", "n3")
START_SECONDS = 60.0
"""It takes 2 s; the rest is for machines that are shared."""
BLIND = 'mount -t tmpfs none "$1" && shift && exec "$@"'
"""Runs a program that sees an empty folder in the place of one."""


@dataclass(frozen=True)
class Cluster:
    """A Slurm that answers.

    Attributes:
        folder: Its configuration, state and logs.
        unseen: A folder that the last node sees empty; None where the system allows no mount.
    """

    folder: Path
    unseen: Path | None

    @property
    def variables(self) -> Mapping[str, str]:
        """What a command needs in its environment to find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *words: str) -> str:
        """What a program of Slurm prints."""
        done = subprocess.run(
            words,
            env={**os.environ, **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (words, done.stderr, self.logs())
        return done.stdout.strip()

    def clear(self) -> None:
        """End all jobs and let all nodes take new ones."""
        self.ask("scancel", f"--user={getpass.getuser()}")
        deadline = time.monotonic() + START_SECONDS
        while self.ask("squeue", "-h", "-o", "%i") or set(self._states()) - {"idle"}:
            assert time.monotonic() < deadline, self.logs()
            for name in NODES:
                with suppress(AssertionError):  # A node that is idle already refuses.
                    self.ask("scontrol", "update", f"nodename={name}", "state=idle")
            time.sleep(0.2)

    def logs(self) -> str:
        """The last lines of what its daemons say."""
        texts = {path.name: path.read_text(errors="replace") for path in self.folder.glob("*.log")}
        return "\n".join(f"{name}:\n{text[-1500:]}" for name, text in texts.items())

    def _states(self) -> list[str]:
        return self.ask("sinfo", "-h", "-N", "-o", "%T").split()


def missing() -> str:
    """Why there can be no cluster here; empty where there can."""
    absent = [name for name in PROGRAMS if not _find(name)]
    return f"there is no {', '.join(absent)}: install slurm-wlm and munge" if absent else ""


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start the daemons, wait until they answer, and end them."""
    # A socket's path has at most 108 bytes: pytest's folders may be longer.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "unseen").mkdir()
        blind = ["unshare", "--mount", "sh", "-c", BLIND, "sh", str(folder / "unseen")]
        can_mount = subprocess.run([*blind, "true"], capture_output=True, check=False)
        found = Cluster(folder, None if can_mount.returncode else folder / "unseen")
        _configure(folder)
        _start(ends, found, [_find("munged"), *_munge_options(folder)])
        _wait(found, (folder / "munge.socket").exists)
        _start(ends, found, [_find("slurmctld"), "-D", "-i"])
        for name in NODES:
            before = blind if found.unseen and name == NODES[-1] else []
            _start(ends, found, [*before, _find("slurmd"), "-D", "-N", name])
        _wait(found, lambda: _all_idle(found))
        ends.callback(_end_jobs, found)
        yield found


def _configure(folder: Path) -> None:
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    text = TEMPLATE.read_text()
    for number, port in enumerate(free_ports(1 + len(NODES))):
        text = text.replace(f"@PORT{number}@", str(port))
    text = text.replace("@DIR@", str(folder)).replace("@USER@", getpass.getuser())
    (folder / "slurm.conf").write_text(text)


def _munge_options(folder: Path) -> list[str]:
    places = {
        "key-file": "munge.key",
        "socket": "munge.socket",
        "pid-file": "munge.pid",
        "log-file": "munge.log",
        "seed-file": "munge.seed",
    }
    return [
        "--foreground",
        "--force",
        *(f"--{option}={folder / name}" for option, name in places.items()),
    ]


def _start(ends: ExitStack, found: Cluster, command: Sequence[str]) -> None:
    process = subprocess.Popen(
        command,
        env={**os.environ, **found.variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    ends.callback(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_jobs(found: Cluster) -> None:
    """Jobs outlive the daemons that started them: none may be left."""
    with suppress(AssertionError):
        found.clear()


def _all_idle(found: Cluster) -> bool:
    with suppress(AssertionError):
        return found._states() == ["idle"] * len(NODES)
    return False


def _wait(found: Cluster, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no Slurm came up\n{found.logs()}"
        time.sleep(0.1)


def _find(name: str) -> str:
    """Where a program is; empty where it is not."""
    # Those of the system are not on the path of every user.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or ""
