"""MLflow: one run a training, logged explicitly, with what it takes to make it again."""

import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from thumbrank_core.addresses import login_of, without_login
from thumbrank_core.batches import batched
from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.settings import SettingsError
from thumbrank_core.training.tracking.interface import Facts, RunOutcome

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

EPOCHS_A_WRITE, SECONDS_A_WRITE = 10, 5.0
"""Each write is a transaction: so many epochs share one, and what is older than that goes out with the next epoch."""
METRICS_A_WRITE, PARAMS_A_WRITE = 1000, 100  # MLflow refuses more in one request
LONGEST_PARAM, LONGEST_TAG, LONGEST_DIGEST = 6000, 8000, 36
_NO_SERVER = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?|file")


def client_at(tracking_uri: str) -> "MlflowClient":
    """A client of the server, the database or the folder that the URI names; the folder of a SQLite file is made.

    A server's login goes to MLflow by the environment, as MLflow's own variables: it writes the address of every request that
    fails into its error, and an error goes into logs. A database's password is hidden by SQLAlchemy, which alone sees it.

    Raises:
        SettingsError: the URI has a login, and is none that MLflow could use.
    """
    from mlflow.tracking import MlflowClient  # here: it costs seconds

    # That it makes its tables the first time is no news for who asked for something else.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    if tracking_uri.startswith("sqlite:///"):
        Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    scheme, separator, _ = tracking_uri.partition("://")
    if not separator or "@" not in tracking_uri or _NO_SERVER.fullmatch(scheme):
        return MlflowClient(tracking_uri=tracking_uri)
    login = login_of(tracking_uri) if scheme in ("http", "https") else None
    if login is None:
        raise SettingsError(
            "The login in MLFLOW_TRACKING_URI cannot be read: write it as https://user:password@host:port, with %-codes for special "
            "characters in the password (@ is %40, / is %2F, % is %25); a Postgres begins with postgresql://."
        )
    os.environ.update(MLFLOW_TRACKING_USERNAME=login[0], MLFLOW_TRACKING_PASSWORD=login[1])
    return MlflowClient(tracking_uri=without_login(tracking_uri))


class MlflowTracker:
    """A new run from the moment this is made; `run_id` and `add_artifacts` are for what follows, also after the training.

    A resumed training is a run of its own, which repeats the epochs done before. Leaving the context ends it as FINISHED,
    as KILLED where the training was asked to stop, as FAILED after an error.
    """

    EXPERIMENT = "thumbrank"

    def __init__(self, tracking_uri: str, artifact_root: Path, run_name: str, tags: dict[str, str]) -> None:
        self._client = client_at(tracking_uri)
        known = self._client.get_experiment_by_name(self.EXPERIMENT)
        experiment = (
            known.experiment_id
            if known is not None
            else self._client.create_experiment(self.EXPERIMENT, artifact_location=artifact_root.resolve().as_uri())
        )
        self.run_id: str = self._client.create_run(experiment, run_name=run_name, tags=tags).info.run_id
        self._waiting: list[Metric] = []
        self._epochs_waiting = 0
        self._written = time.monotonic()
        self._interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Write what waits and close the run, unless `end` had to."""
        if not self._interrupted:
            self._flush()
            self._client.set_terminated(self.run_id, "FINISHED" if kind is None else "FAILED")

    def begin(self, facts: Facts, history: Sequence[EpochRecord]) -> None:
        """Log the facts as parameters, the rows as the run's data set, the commit as MLflow's own tag."""
        from mlflow.entities import Param

        params = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in _params(facts).items()]
        for some in batched(params, PARAMS_A_WRITE):
            self._client.log_batch(self.run_id, params=some)
        tags = {f"data_version.{niche}": version for niche, version in facts.niches.items()}
        if facts.git_sha is not None:
            tags["mlflow.source.git.commit"] = facts.git_sha
        if facts.notes:
            tags["notes"] = "\n".join(facts.notes)
        if history:
            tags["resumed_after_epoch"] = str(history[-1].epoch)
        self._tag(tags)
        self._log_data(facts)
        for record in history:
            self._wait(record)
        self._flush()

    def epoch(self, record: EpochRecord) -> None:
        """Log its figures, together with those of epochs close by."""
        self._wait(record)
        if self._epochs_waiting >= EPOCHS_A_WRITE or time.monotonic() - self._written >= SECONDS_A_WRITE:
            self._flush()

    def end(self, outcome: RunOutcome) -> None:
        """Tag the run with what ships and with every finding. An interrupted run is closed here: the signal that asked for it
        may end the process before the context is left."""
        self._flush()
        findings = {f"finding.{finding.kind}": finding.sentence for finding in outcome.findings}
        self._tag({"best_epoch": str(outcome.best_epoch), "shipped": outcome.shipped} | findings)
        if outcome.interrupted:
            self._interrupted = True
            self._client.set_terminated(self.run_id, "KILLED")

    def add_artifacts(self, folder: Path, name: str, entries: Sequence[str]) -> str:
        """Copy these files and folders of `folder` into the run and return their artifact URI."""
        for entry in entries:
            path = folder / entry
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), f"{name}/{entry}")
            else:
                self._client.log_artifact(self.run_id, str(path), name)
        return f"{self._client.get_run(self.run_id).info.artifact_uri}/{name}"

    def _tag(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        for some in batched([RunTag(name, value[:LONGEST_TAG]) for name, value in tags.items()], PARAMS_A_WRITE):
            self._client.log_batch(self.run_id, tags=some)

    def _log_data(self, facts: Facts) -> None:
        """The rows by their hash; they stay in Postgres, so the source says only which versions they were."""
        from mlflow.entities import Dataset, DatasetInput

        profile = json.dumps({"items": facts.n_items, "pairs": facts.n_pairs, "channels": facts.n_channels})
        source = json.dumps({"tags": dict(facts.niches)})
        data = Dataset("thumbrank", facts.data_sha256[:LONGEST_DIGEST], "code", source, profile=profile)
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(data)])

    def _wait(self, record: EpochRecord) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        figures = record.model_dump(exclude={"epoch"}).items()
        self._waiting += [Metric(name, float(value), now, record.epoch) for name, value in figures if value is not None]
        self._epochs_waiting += 1

    def _flush(self) -> None:
        for some in batched(self._waiting, METRICS_A_WRITE):
            self._client.log_batch(self.run_id, metrics=some)
        self._waiting.clear()
        self._epochs_waiting, self._written = 0, time.monotonic()


def run_page(mlflow_url: str | None, tracking_uri: str, run_id: str) -> str | None:
    """The address of a run's page in the MLflow UI, without any login; None where there is no such address, or MLflow lost the run.

    Args:
        mlflow_url: the UI's address, where one is set.
        tracking_uri: its server's, whose UI it is where none is set.
        run_id: the run.
    """
    address = mlflow_url or (tracking_uri if tracking_uri.startswith(("http://", "https://")) else None)
    if address is None:
        return None
    base = without_login(address)
    from mlflow.exceptions import MlflowException

    try:
        experiment = client_at(tracking_uri).get_run(run_id).info.experiment_id
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # `mlflow gc` took it; the version stays
            return None
        raise
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"


def _params(facts: Facts) -> dict[str, object]:
    return {
        "niches": ",".join(facts.niches),
        "label": facts.label,
        "encoders": facts.encoders,
        "n_items": facts.n_items,
        "n_pairs": facts.n_pairs,
        "n_channels": facts.n_channels,
        "data_sha256": facts.data_sha256,
        "git_sha": facts.git_sha,
        "epochs": facts.epochs,
        "real_click_rate": facts.real_click_rate,
        "recipe_sha256": facts.recipe_sha256,
        **{f"data_version_{niche}": version for niche, version in facts.niches.items()},
        **{f"recipe_{name}": value for name, value in facts.recipe.items()},
    }
