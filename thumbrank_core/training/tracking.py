"""Where a training run's numbers go. Listeners that do nothing are objects, not ifs.

What belongs here: sinks for epochs and facts. What a figure means is metrics.py; versions and aliases are registry.py.
"""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.progress import say


class Tracker(Protocol):
    """Hears one training run from its first epoch to its last."""

    def facts(self, facts: dict[str, object]) -> None:
        """What shapes the run, once: recipe, data, encoders."""
        ...

    def epoch(self, record: EpochRecord) -> None:
        """One epoch is over."""
        ...


class ConsoleTracker:
    """The guide's line, every `every` epochs; the absolute head learns engagement, and is called so."""

    def __init__(self, every: int = 10) -> None:
        self._every = every

    def facts(self, facts: dict[str, object]) -> None:
        """Say what is trained on."""
        say("Training on " + ", ".join(f"{name} {value}" for name, value in facts.items() if name.startswith("n_")))

    def epoch(self, record: EpochRecord) -> None:
        """Say how it goes."""
        if record.epoch % self._every == 0:
            say(
                f"Epoch {record.epoch:3d}: Pair Loss={record.pair_loss:.4f}, Engagement Loss={record.engagement_loss:.4f}, "
                f"Val Accuracy={record.validation_accuracy:.4f}, Val AUC={record.validation_auc:.4f}"
            )


class MlflowTracker:
    """One MLflow run, logged explicitly. Use as a context manager; `run_id` and `add_artifacts` are for what follows."""

    EXPERIMENT = "thumbrank"

    def __init__(self, tracking_uri: str, artifact_root: Path, run_name: str, tags: dict[str, str]) -> None:
        from mlflow.tracking import MlflowClient

        if tracking_uri.startswith("sqlite:///"):
            Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=tracking_uri)
        known = self._client.get_experiment_by_name(self.EXPERIMENT)
        experiment = (
            known.experiment_id
            if known is not None
            else self._client.create_experiment(self.EXPERIMENT, artifact_location=artifact_root.resolve().as_uri())
        )
        self.run_id: str = self._client.create_run(experiment, run_name=run_name, tags=tags).info.run_id
        self._pending: list[EpochRecord] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._flush()
        self._client.set_terminated(self.run_id, "FINISHED" if kind is None else "FAILED")

    def facts(self, facts: dict[str, object]) -> None:
        """Log them as parameters."""
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(name, str(value)[:500]) for name, value in facts.items()])

    def epoch(self, record: EpochRecord) -> None:
        """Log its figures; ten epochs a write, because each one is a transaction."""
        self._pending.append(record)
        if len(self._pending) >= 10:
            self._flush()

    def add_artifacts(self, folder: Path, name: str) -> str:
        """Copy a folder into the run and return its artifact URI."""
        self._client.log_artifacts(self.run_id, str(folder), artifact_path=name)
        return f"{self._client.get_run(self.run_id).info.artifact_uri}/{name}"

    def _flush(self) -> None:
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, record.epoch)
            for record in self._pending
            for name, value in record.model_dump(exclude={"epoch"}).items()
        ]
        if metrics:
            self._client.log_batch(self.run_id, metrics=metrics)
        self._pending.clear()
