"""The runs of a study in MLflow; writing them again changes nothing. Opening: `mlflow_open`.

Writing again costs one search for the study and one for all its runs, and no request for what is
already there.
"""

import getpass
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from diamond.tracking.event_log import unix_ms
from diamond.tracking.limits import fit_description, fit_params, fit_tags
from diamond.tracking.mlflow_links import PARENT_TAG
from diamond.tracking.mlflow_open import NOTE, open_client, store_errors
from diamond.tracking.mlflow_records import HOME_TAG, Home, RunStatus, TrackedRun, TrackedStudy
from diamond.tracking.owner import current_owner, is_gone
from diamond.tracking.sources import Source, mark_of, points_from, sent_bytes, sources_of
from diamond.tracking.uris import absolute_uri

_LOG = logging.getLogger(__name__)
_RUN_KEY = "diamond.run_key"
_KIND = "diamond.kind"
_OWNER = "diamond.owner"
_IMPORTED = "diamond.imported."
_ARTIFACTS = "diamond.artifacts"
_DIGEST = "diamond.artifacts.digest"
_NAME = "mlflow.runName"
_USER = "mlflow.user"


@dataclass
class _KnownRun:
    """What the store holds of a run."""

    run_id: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    artifact_uri: str


class MlflowStore:
    """The runs of one experiment; `open_store` builds it. One process writes a study at a time."""

    def __init__(
        self, client: MlflowClient, experiment_id: str, tracking_uri: str, home_id: str
    ) -> None:
        """Assign.

        Args:
            home_id: The home whose studies are written: others may have studies of these names.
        """
        self._home_id = home_id
        self._client = client
        self._experiment_id = experiment_id
        self._tracking_uri = tracking_uri
        self._studies: dict[str, _KnownRun] = {}
        self._children: dict[str, dict[str, _KnownRun]] = {}

    @property
    def experiment_id(self) -> str:
        """The experiment that holds the runs."""
        return self._experiment_id

    def begin_study(self, run_key: str, name: str) -> str:
        """Find the parent run of a study, or create it, for its runs to be written under.

        Args:
            run_key: Identity of the study; hexadecimal.
            name: Name in the table of runs.

        Returns:
            The run id.

        Raises:
            StoreError: The store refuses.
        """
        with store_errors("write to", self._tracking_uri):
            return self._study(run_key, name).run_id

    def write_study(self, study: TrackedStudy) -> str:
        """Create or update the parent run of a study.

        Returns:
            The run id.

        Raises:
            StoreError: The store refuses.
        """
        tags = {**study.tags, _NAME: study.name, NOTE: fit_description(study.description)}
        with store_errors("write to", self._tracking_uri):
            known = self._study(study.run_key, study.name)
            self._describe(known, tags, study.params)
            self._measure(known, study.metrics)
            if study.artifacts is not None:
                self._upload(known, study.artifacts)
            self._show_status(known, study.status)
        return known.run_id

    def write_run(self, run: TrackedRun, parent_run_id: str) -> str:
        """Create or update a run under a study and send the metrics that the store lacks.

        A run whose metrics in the store are no longer those of `run` is deleted, and a new one
        takes its place.

        Returns:
            The run id.

        Raises:
            StoreError: The store refuses, or an event log is damaged.
        """
        tags = {**run.tags, _RUN_KEY: run.run_key, _KIND: run.kind, _NAME: run.name}
        tags[PARENT_TAG] = parent_run_id
        sources = sources_of(run)
        with store_errors("write to", self._tracking_uri):
            children = self._children_of(parent_run_id)
            known = children.get(run.run_key)
            marks = known.tags if known else {}
            if any(sent_bytes(s, marks.get(_IMPORTED + s.name)) is None for s in sources):
                self._delete(children, run.run_key)
                known = None
            known = children[run.run_key] = known or self._create(tags)
            self._describe(known, tags, run.params)
            self._send(known, sources)
            if run.artifacts is not None:
                self._upload(known, run.artifacts)
            self._show_status(known, run.status)
        return known.run_id

    def retire_others(self, parent_run_id: str, keep: AbstractSet[str]) -> tuple[str, ...]:
        """Delete aggregates of a study that are out of date, such as means over fewer seeds.

        Args:
            parent_run_id: The study.
            keep: Run keys of the aggregates that still hold.

        Returns:
            The ids of the deleted runs; runs of other kinds are never deleted.

        Raises:
            StoreError: The store refuses.
        """
        with store_errors("write to", self._tracking_uri):
            children = self._children_of(parent_run_id)
            retired = {
                key: known.run_id
                for key, known in children.items()
                if known.tags.get(_KIND) == "aggregate" and key not in keep
            }
            for key in retired:
                self._delete(children, key)
        return tuple(retired.values())

    def end_own(self) -> tuple[str, ...]:
        """Mark as KILLED every run of this process that shows RUNNING: its command is over.

        Returns:
            The ids of those runs.

        Raises:
            StoreError: The store refuses.
        """
        return self._kill(lambda owner: owner == current_owner())

    def reconcile(self) -> tuple[str, ...]:
        """Mark as KILLED every run that shows RUNNING though its process on this host is gone.

        Call it before writing: a later write opens such a run again.

        Returns:
            The ids of those runs.

        Raises:
            StoreError: The store refuses.
        """
        return self._kill(is_gone)

    def _kill(self, is_over: Callable[[str], bool]) -> tuple[str, ...]:
        """Mark as KILLED every run that shows RUNNING and whose owner is at its end."""
        with store_errors("write to", self._tracking_uri):
            stale = [
                run.info.run_id
                for run in self._search("attributes.status = 'RUNNING'")
                if is_over(run.data.tags.get(_OWNER, ""))
            ]
            for run_id in stale:
                self._client.set_terminated(run_id, "KILLED")
        self._studies.clear()
        self._children.clear()
        return tuple(stale)

    def _study(self, run_key: str, name: str) -> _KnownRun:
        if run_key not in self._studies:
            tags = {_RUN_KEY: run_key, _KIND: "study", HOME_TAG: self._home_id}
            filter_ = " AND ".join(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())
            self._studies.update(self._one_run_per_key(filter_))
        if run_key not in self._studies:
            tags = {_RUN_KEY: run_key, _KIND: "study", _NAME: name, HOME_TAG: self._home_id}
            self._studies[run_key] = self._create(tags)
        return self._studies[run_key]

    def _children_of(self, parent_run_id: str) -> dict[str, _KnownRun]:
        if parent_run_id not in self._children:
            filter_ = f"tags.`{PARENT_TAG}` = '{parent_run_id}'"
            self._children[parent_run_id] = self._one_run_per_key(filter_)
        return self._children[parent_run_id]

    def _one_run_per_key(self, filter_: str) -> dict[str, _KnownRun]:
        """Return the runs found by run key; of two with one key the younger is deleted."""
        found: dict[str, _KnownRun] = {}
        for run in self._search(filter_):
            key = run.data.tags.get(_RUN_KEY)
            if key in found:
                self._client.delete_run(run.info.run_id)
            elif key is not None:
                found[key] = _KnownRun(
                    run.info.run_id,
                    run.info.status,
                    dict(run.data.params),
                    dict(run.data.metrics),
                    dict(run.data.tags),
                    run.info.artifact_uri,
                )
        return found

    def _search(self, filter_: str) -> list[Run]:
        """Return all runs of the experiment that are not deleted and match, the oldest first."""
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                filter_,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs.extend(page)
            token = page.token
            if not token:
                return runs

    def _create(self, tags: Mapping[str, str]) -> _KnownRun:
        """Create a run; it shows RUNNING, so it has an owner from its first moment."""
        full = {**fit_tags(tags), _USER: _user(), _OWNER: current_owner()}
        run = self._client.create_run(self._experiment_id, tags=full, run_name=tags[_NAME])
        return _KnownRun(run.info.run_id, run.info.status, {}, {}, full, run.info.artifact_uri)

    def _delete(self, children: dict[str, _KnownRun], run_key: str) -> None:
        self._client.delete_run(children.pop(run_key).run_id)

    def _describe(
        self, known: _KnownRun, tags: Mapping[str, str], params: Mapping[str, str]
    ) -> None:
        fitting = fit_params(params)
        changed = {
            k: (known.params[k], v) for k, v in fitting.items() if known.params.get(k, v) != v
        }
        assert not changed, f"params of run {known.run_id} changed under one run key: {changed}"
        new = {name: value for name, value in fitting.items() if name not in known.params}
        if new:
            self._client.log_batch(known.run_id, params=[Param(k, v) for k, v in new.items()])
            known.params.update(new)
        self._set_tags(known, tags)

    def _measure(self, known: _KnownRun, metrics: Mapping[str, float]) -> None:
        """Send the numbers that are new or have changed, each as the last point of its history."""
        now = unix_ms()
        changed = {n: value for n, value in metrics.items() if known.metrics.get(n) != value}
        points = [
            Metric(name, value, now, len(self._history(known, name)))
            for name, value in changed.items()
        ]
        if points:
            self._client.log_batch(known.run_id, metrics=points)
            known.metrics.update(changed)

    def _history(self, known: _KnownRun, name: str) -> list[Metric]:
        if name not in known.metrics:
            return []
        return list(self._client.get_metric_history(known.run_id, name))

    def _set_tags(self, known: _KnownRun, tags: Mapping[str, str]) -> None:
        fitting = fit_tags(tags)
        new = {name: value for name, value in fitting.items() if known.tags.get(name) != value}
        if new:
            self._client.log_batch(known.run_id, tags=[RunTag(k, v) for k, v in new.items()])
            known.tags.update(new)

    def _send(self, known: _KnownRun, sources: Iterable[Source]) -> None:
        """Send what the marks do not cover; a mark made first tells a killed import from none."""
        first_byte = {s: sent_bytes(s, known.tags.get(_IMPORTED + s.name)) or 0 for s in sources}
        unsent = {s: byte for s, byte in first_byte.items() if byte < len(s.lines)}
        metrics = [
            Metric(p.name, p.value, p.time_ms, p.step)
            for source, byte in unsent.items()
            for p in points_from(source, byte)
        ]
        self._set_tags(known, {_IMPORTED + s.name: mark_of(s, sent=False) for s in unsent})
        self._client.log_batch(known.run_id, metrics=metrics)
        self._set_tags(known, {_IMPORTED + s.name: mark_of(s, sent=True) for s in unsent})

    def _upload(self, known: _KnownRun, artifacts: Mapping[str, Path]) -> None:
        """Upload all where anything changed or is lost; take away what is no longer there."""
        digests = {name: _digest(path) for name, path in artifacts.items()}
        all_of_them = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]
        is_sent = known.tags.get(_DIGEST) == all_of_them
        before = set(json.loads(known.tags.get(_ARTIFACTS, "[]")))
        for name, path in artifacts.items():
            if not is_sent or _is_lost(known, name, digests[name]):
                folder, _, own = name.rpartition("/")
                assert own == path.name, f"MLflow would call {path} so, not {name}"
                self._client.log_artifact(known.run_id, str(path), folder or None)
        if stale := before - digests.keys():
            self._delete_artifacts(known.run_id, stale)
        self._set_tags(known, {_ARTIFACTS: json.dumps(sorted(digests)), _DIGEST: all_of_them})

    def _delete_artifacts(self, run_id: str, names: Iterable[str]) -> None:
        files = get_artifact_repository(
            self._client.get_run(run_id).info.artifact_uri, self._tracking_uri
        )
        try:
            for name in names:
                files.delete_artifacts(name)  # type: ignore[no-untyped-call]
        except NotImplementedError:
            _LOG.warning("this place for artifacts cannot delete, it keeps %s", ", ".join(names))

    def _show_status(self, known: _KnownRun, status: RunStatus) -> None:
        if status == "RUNNING":
            self._set_tags(known, {_OWNER: current_owner()})
        if known.status == status:
            return
        if status == "RUNNING":
            self._client.update_run(known.run_id, status)
        else:
            self._client.set_terminated(known.run_id, status, unix_ms())
        known.status = status


def open_store(tracking_uri: str, home: Home) -> MlflowStore:
    """Open a store, making its database and experiment where they are missing.

    Args:
        tracking_uri: Any address that MLflow takes but a folder; `uris.default_uri` has the usual
            one.
        home: The home that writes: it finds its own studies alone.

    Raises:
        StoreError: The store cannot be opened.
    """
    client, experiment_id = open_client(tracking_uri, home)
    return MlflowStore(client, experiment_id, absolute_uri(tracking_uri), home.id)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _is_lost(known: _KnownRun, name: str, expected: str) -> bool:
    """Whether an uploaded file is damaged or gone, where this machine holds it."""
    if not is_local_uri(known.artifact_uri):  # type: ignore[no-untyped-call]
        return False
    path = Path(local_file_uri_to_path(known.artifact_uri)) / name  # type: ignore[no-untyped-call]
    return not path.is_file() or _digest(path) != expected


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
