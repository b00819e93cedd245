"""Workers as jobs of Slurm: each submission is one array, by a script in the study's folder.

A worker is asked to end before its time is over: it saves what it makes, and its job queues again.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from diamond.config.processes import python_environment
from diamond.engine.files import locked, read_json, write_json
from diamond.errors import EngineError, unknown
from diamond.workers.engines import RECORDS
from diamond.workers.launcher import end_of_last

OWN_OPTIONS = frozenset({"signal-seconds", "gpu-share", "idle"})
"""What is said to this engine and is no option of sbatch."""
SIGNAL_SECONDS = 120
"""Time before the end of a job at which its worker is asked to save."""
LOOK_SECONDS = 30
"""How often Slurm looks for jobs whose time is nearly over: a signal may come so much earlier."""
ANSWER_SECONDS = 90.0
"""Longer than Slurm's programs wait for its controller."""
_GONE = ("Invalid job id", "already complet", "pending execution", "not running")
"""What Slurm says of a signal to a job that has ended, or has not begun."""
_AT_WORK = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED")

SCRIPT = """\
#!/bin/bash
{directives}
# Workers of a study. Submit the file to add as many; the folder of the study keeps what they say.
export PYTHONPATH={path}
# The number of a job may mean its whole array; this is one task of it.
task="${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
asked=
trap 'asked=yes; kill -USR1 "$worker"' USR1  # the time is nearly over
trap 'asked=; kill -TERM "$worker"' TERM  # the job was cancelled, or the node is taken away
echo "$(date +%T) worker $task begins on $(hostname), as $SLURMD_NODENAME"
{command} &
worker=$!
while kill -0 "$worker" 2> /dev/null; do wait "$worker"; done  # a signal ends a wait, not a worker
wait "$worker"
code=$?
echo "$(date +%T) worker $task ended with exit code $code"
if [ -n "$asked" ] && [ "$code" -ne 2 ] && ls orders/*.json > /dev/null 2>&1; then
    scontrol requeue "$task" && exit 0
fi
exit "$code"
"""


class SlurmLauncher:
    """Workers of one study in Slurm; see `Launcher`."""

    def __init__(self, folder: Path, command: Sequence[str], options: Mapping[str, str]) -> None:
        """Make sure that Slurm is there and knows the partition; nothing is written.

        Args:
            folder: The study's.
            command: Of one worker.
            options: As `engine_options.OPTIONS` has them.

        Raises:
            EngineError: Slurm is not there, does not answer, or leaves a worker no time.
            RequestError: It has no such partition.
        """
        self._folder = folder
        self._command = command
        self._options = options
        self._queue: tuple[tuple[str, str], ...] = ()
        _check_path(folder)
        _check_partition(options.get("partition", ""))
        _check_time(options)

    def submit(self, count: int) -> None:
        """Submit one array of workers.

        Raises:
            EngineError: Slurm refuses.
        """
        records = self._folder / RECORDS
        records.mkdir(parents=True, exist_ok=True)
        # Said to sbatch too: variables such as SBATCH_PARTITION count for more than the script.
        directives = self._directives(count)
        with locked(records / ".slurm.lock"):
            script = records / f"slurm-{len(list(records.glob('slurm-*.sh')))}.sh"
            script.write_text(self._script(directives), encoding="utf-8")
            try:
                said = _ask("sbatch", "--parsable", *directives, str(script))
            except EngineError:
                script.unlink()
                raise
            jobs = [*self._jobs(), said.strip().partition(";")[0]]
            write_json(self._record, {"options": dict(self._options), "jobs": jobs})

    def alive(self) -> int:
        """Workers of the study that run or wait to run.

        Raises:
            EngineError: Slurm does not answer.
        """
        jobs = ",".join(self._jobs())
        said = _ask("squeue", "-h", "-r", "-j", jobs, "-o", "%T %r", gone=True) if jobs else ""
        words = (line.partition(" ") for line in said.splitlines() if line)
        self._queue = tuple((state, reason) for state, _, reason in words)
        return len(self._queue)

    def fate(self) -> str:
        """How the last worker ended, and the end of its log."""
        jobs = self._jobs()
        if not jobs:
            return ""
        said = _ask("scontrol", "-o", "show", "job", jobs[-1], gone=True)
        tasks = [task for task in map(_fields, said.splitlines()) if task]
        ended = [task for task in tasks if task["JobState"] not in _AT_WORK]
        last = max(ended, key=lambda task: task["EndTime"], default={})
        lines = [] if not last else [_end_of(last)]
        task = last.get("ArrayTaskId", "*")
        none = f"it has no log in {str(self._records)!r}: its node may not see the home"
        lines += end_of_last(self._records.glob(f"slurm-{jobs[-1]}_{task}.log")) or [none]
        return "\n  ".join(lines)

    def dismiss(self) -> None:
        """End the workers that wait to run."""
        if jobs := self._jobs():
            _ask("scancel", "--state=PENDING", *jobs, gone=True)

    def cancel(self) -> None:
        """End all workers of the study; each saves the stage that it makes."""
        self.dismiss()
        if jobs := self._jobs():
            # The script alone gets it and passes it on; without a signal of ours, Slurm would kill
            # what does not end within its KillWait.
            _ask("scancel", "--signal=TERM", "--batch", *jobs, gone=True)

    def told(self) -> Sequence[str]:
        """Lines for people."""
        jobs = self._jobs()
        if not jobs:
            return ()
        home, study = self._folder.parents[1], self._folder.name
        end = shlex.join(["diamond", "work", "--cancel", "--home", str(home), "--study", study])
        return (
            f"Slurm job {jobs[-1]}: squeue -r -j {','.join(jobs)}",
            f"  logs: {self._records}/slurm-{jobs[-1]}_*.log",
            f"  to end them: {end}",
            *self._waiting(),
        )

    def _waiting(self) -> Iterator[str]:
        """What Slurm said when it was last asked, where not all workers run."""
        reasons = [reason for state, reason in self._queue if state == "PENDING"]
        if reasons:
            why = ", ".join(sorted(set(reasons)))
            yield f"  workers: {len(self._queue) - len(reasons)} run, {len(reasons)} wait ({why})"

    @property
    def _records(self) -> Path:
        return self._folder / RECORDS

    @property
    def _record(self) -> Path:
        return self._records / "slurm.json"

    def _jobs(self) -> list[str]:
        record = read_json(self._record)
        return list(record["jobs"]) if isinstance(record, dict) else []

    def _directives(self, count: int) -> list[str]:
        """Options of sbatch; what the user says takes the place of ours."""
        seconds = self._options.get("signal-seconds", SIGNAL_SECONDS)
        said = {
            "job-name": self._folder.name,
            "array": f"0-{count - 1}",
            "signal": f"B:USR1@{seconds}",
            "open-mode": "append",
            "chdir": str(self._folder),
            "output": f"{RECORDS}/slurm-%A_%a.log",
            "cpus-per-task": self._options.get("gpu-share", "1"),
        }
        said |= {name: text for name, text in self._options.items() if name not in OWN_OPTIONS}
        return ["--requeue", *(f"--{name}={text}" for name, text in said.items())]

    def _script(self, directives: Sequence[str]) -> str:
        return SCRIPT.format(
            directives="\n".join(f"#SBATCH {_quoted(word)}" for word in directives),
            path=shlex.quote(python_environment()["PYTHONPATH"]),
            command=shlex.join(self._command),
        )


def _check_path(folder: Path) -> None:
    """Refuse a folder that Slurm would take for another: it replaces % in the paths of logs."""
    if not str(folder).isprintable() or {"%", "\\"} & set(str(folder)):
        raise EngineError(
            f"Slurm cannot keep logs in {str(folder)!r}\n"
            "  give a home with a path of printable letters without % and \\, with --home"
        )


def _check_partition(named: str) -> None:
    """Make sure that Slurm is there and has the partitions, one or several with commas."""
    found = set(_ask("sinfo", "-h", "-a", "-o", "%R").split())
    for name in filter(None, named.split(",")):
        if name not in found:
            raise unknown("partition of Slurm", name, found, "`sinfo` shows what each has")


def _check_time(options: Mapping[str, str]) -> None:
    """Refuse a time limit that leaves a worker no time before it is asked to end."""
    seconds = slurm_time(options.get("time", ""))
    before = int(options.get("signal-seconds", SIGNAL_SECONDS))
    if not seconds:  # Not said, none, or nothing that we can read: sbatch judges it.
        return
    if seconds < 60 or seconds <= before + LOOK_SECONDS:
        raise EngineError(
            f"slurm: time is {options['time']!r}, {seconds} s: a worker is asked to end "
            f"{before} s before that, or up to {LOOK_SECONDS} s earlier, and could make nothing\n"
            "  give a minute at least, and more than that: time=MINUTES or time=HH:MM:SS; or fewer "
            "signal-seconds"
        )


def slurm_time(text: str) -> int | None:
    """A time as sbatch reads it: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S; None: it is none."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if found is None:
        return None
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    units = (3600, 60, 1) if days is not None or len(numbers) == 3 else (60, 1)
    return 86400 * int(days or 0) + sum(map(int.__mul__, numbers, units))


def _quoted(word: str) -> str:
    """A word as a line of ``#SBATCH`` takes it."""
    if re.fullmatch(r"[\w@%+=:,./-]+", word):
        return word
    escaped = re.sub(r'(["\\])', r"\\\1", word)
    return f'"{escaped}"'


def _fields(line: str) -> dict[str, str]:
    """``Name=value`` pairs of a line of scontrol, without values that have spaces."""
    return dict(re.findall(r"(\w+)=(\S*)", line))


def _end_of(task: Mapping[str, str]) -> str:
    """How a task ended, in words."""
    code, _, signal = task["ExitCode"].partition(":")
    return (
        f"the last one, Slurm job {task['ArrayJobId']}_{task['ArrayTaskId']} on "
        f"{task['NodeList'] or 'no node'}, is {task['JobState']} ({task['Reason']}), exit code "
        f"{code}" + (f", signal {signal}" if signal != "0" else "")
    )


def _ask(program: str, *words: str, gone: bool = False) -> str:
    """What a program of Slurm prints.

    Args:
        gone: Whether jobs that it does not know any more are no error.

    Raises:
        EngineError: It is not there, does not answer, or refuses.
    """
    try:
        done = subprocess.run(
            [program, *words],
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=ANSWER_SECONDS,
        )
    except FileNotFoundError:
        raise EngineError(
            f"there is no {program!r} on this machine: Slurm is not installed, or not on the PATH\n"
            "  run the command on a login node of the cluster, or leave out --engine slurm; "
            "docs/cluster.md"
        ) from None
    except subprocess.TimeoutExpired:
        raise EngineError(
            f"{program} did not answer for {ANSWER_SECONDS:.0f} s\n  `scontrol ping` shows whether "
            "Slurm's controller is there"
        ) from None
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode and not (gone and all(any(w in line for w in _GONE) for line in lines)):
        said = "\n  ".join(lines) or f"exit code {done.returncode}"
        raise EngineError(f"Slurm refuses:\n  {said}\n  asked by: {shlex.join([program, *words])}")
    return done.stdout
