"""`diamond doctor`: what it says of this machine, a home and a store; no speed is asserted."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from diamond.cli.app import app
from diamond.cli.doctor import _speed
from diamond.engine.home import FORMAT, open_home
from diamond.errors import ExitCode
from tests.commands import diamond, digests


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured: peaks are given."""
    rates = {"float32": 40.0, "bfloat16": 4.0}
    peaks = {"product": rates, "convolution": rates}
    monkeypatch.setattr("diamond.peaks.measure_peaks", lambda _: peaks)


def run(*words: str) -> int:
    return int(app(["doctor", *words], standalone_mode=False) or 0)


def test_the_document_alone_is_printed_and_no_home_is_made(tmp_path: Path) -> None:
    done = diamond("doctor", "--json", "--home", str(tmp_path / "none" / "home"))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["code"]["versions"]["torch"] == version("torch")
    assert document["home"]["state"] == "no home yet"
    assert document["tracking"]["state"] == "no store yet"
    assert document["engines"] == {
        "local": True,
        "slurm": shutil.which("sbatch") is not None,
        "ray": document["engines"]["ray"],
    }
    for rates in document["speed"]["gflops"].values():
        assert rates.keys() == {"float32", "bfloat16"} and min(rates.values()) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_home_is_looked_at_and_left_as_it_is(
    smoke_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(smoke_home)
    assert run("--home", str(smoke_home)) == ExitCode.DONE
    printed = capsys.readouterr().out
    assert f"format {FORMAT}" in printed and f"stages {len(before)} done" in printed
    assert "state answers" in printed
    assert digests(smoke_home) == before


@pytest.mark.usefixtures("quick")
def test_a_home_of_another_version_is_a_problem_beside_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_home(tmp_path)
    (tmp_path / "home.json").write_text('{"format": 1}')
    assert run("--home", str(tmp_path), "--json") == ExitCode.BAD_REQUEST
    printed = capsys.readouterr()
    assert "made by another version" in json.loads(printed.out)["home"]["problem"]
    assert "diamond: the home" in printed.err


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_no_password_of_a_store_is_shown(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = "http://me:hunter2@127.0.0.1:9/?token=sesame"
    code = run("--home", str(tmp_path), "--tracking-uri", uri, *words)
    printed = "".join(capsys.readouterr())
    assert code == ExitCode.BAD_REQUEST and "127.0.0.1:9" in printed
    assert "hunter2" not in printed and "sesame" not in printed


@pytest.mark.parametrize(("low", "said"), [(80.0, "pays"), (42.0, "does not pay")])
def test_bfloat16_pays_where_it_is_faster(
    low: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"float32": 40.0, "bfloat16": low}
    peaks = {"product": rates, "convolution": rates}
    monkeypatch.setattr("diamond.peaks.measure_peaks", lambda _: peaks)
    text = _speed()["bfloat16"]
    assert text.startswith(f"bfloat16 {said} here") and f"{low / 40:.2g} times" in text


def test_the_help_of_all_commands_loads_no_torch() -> None:
    program = (
        "import sys\nfrom diamond.cli.app import app\n"
        "app(['doctor', '--help'], standalone_mode=False)\n"
        "print({'torch', 'numpy', 'mlflow'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().endswith("set()\n")
