"""Addresses of tracking stores, who owns a run, the command of the user interface."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from diamond.errors import StoreError
from diamond.tracking.limits import MAX_TAG, fit_description
from diamond.tracking.owner import current_owner, is_gone, start_time
from diamond.tracking.ui import ui_store
from diamond.tracking.uris import absolute_uri, default_uri
from tests.commands import dead_owner


def test_addresses_do_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert default_uri(Path("mlruns")) == expected
    assert absolute_uri("sqlite:///mlruns/mlflow.db") == expected
    assert absolute_uri("https://host:5000/x") == "https://host:5000/x"


@pytest.mark.parametrize("uri", ["", "mlruns", "file:///tmp/mlruns", "sqlite://", "sqlite:///a%b"])
def test_an_address_that_cannot_work_is_refused(uri: str) -> None:
    with pytest.raises(StoreError, match="--tracking-uri"):
        absolute_uri(uri)


def test_the_ui_names_its_store_in_full_and_serves_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ui_store("sqlite:///mlflow.db") == default_uri(tmp_path)
    with pytest.raises(StoreError, match=r"http://host:5000 is a tracking server.*own user"):
        ui_store("http://u:s3cr3t@host:5000")


def test_an_owner_is_gone_only_if_its_process_is() -> None:
    assert not is_gone(current_owner())
    assert is_gone(dead_owner())
    host, pid, start = current_owner().rsplit(":", 2)
    assert not is_gone(f"another-{host}:{pid}:1")
    assert not is_gone("nonsense")
    if Path("/proc/self/stat").exists():
        assert is_gone(f"{host}:{pid}:{int(start) - 1}")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see a zombie")
def test_a_process_that_ended_unattended_is_gone() -> None:
    host = current_owner().rsplit(":", 2)[0]
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(f"{host}:{process.pid}:{start_time(process.pid)}")
    process.wait()


def test_a_long_description_is_cut_at_a_line() -> None:
    line = "| a | b |"
    cut = fit_description("\n".join([line] * 2000))
    assert len(cut) <= MAX_TAG
    assert cut.split("\n\n(cut here")[0].endswith(line)
    assert fit_description(line) == line
