"""The model registry in MLflow: register a candidate, find a version, move the champion's alias.

Versions are bundles (safetensors + JSON) kept as artifacts of their training run; nothing here loads a pickle or a flavour.
Aliases: `challenger` is the newest trained, `champion` is what earned its deployment.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.model.bundle import BundleCard

NAME = "thumb-ranker"
Alias = Literal["challenger", "champion"]


class RegistryError(ThumbrankError):
    """The registry does not hold what was asked for."""


@dataclass(frozen=True)
class Version:
    """A registered model. `folder` is its bundle on this machine; `run_id` its MLflow run."""

    number: int
    fingerprint: str
    folder: Path
    run_id: str
    niches: tuple[str, ...]


class Registry:
    """Thumbrank's one registered model."""

    def __init__(self, tracking_uri: str) -> None:
        from mlflow.tracking import MlflowClient

        if tracking_uri.startswith("sqlite:///"):
            Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._client: Any = MlflowClient(tracking_uri=tracking_uri)

    def register(self, card: BundleCard, folder: Path, run_id: str, artifact_uri: str) -> Version:
        """Make a new version of a bundle and point `challenger` at it."""
        if not self._client.search_registered_models(filter_string=f"name = '{NAME}'"):
            self._client.create_registered_model(
                NAME, description="Ranks a channel's thumbnails: the higher score is the likelier winner."
            )
        made = self._client.create_model_version(
            NAME,
            source=artifact_uri,
            run_id=run_id,
            tags={
                "fingerprint": card.fingerprint,
                "weights_sha256": card.weights_sha256,
                "folder": str(folder),
                "niches": ",".join(card.niches),
                "recipe": str(card.recipe["name"]),
                "encoders": card.encoder_set,
            },
        )
        self.point("challenger", int(made.version))
        return _version(made)

    def find(self, fingerprint: str) -> Version | None:
        """The version of that fingerprint, if it was ever registered."""
        found = self._client.search_model_versions(f"name = '{NAME}'")
        return next((_version(made) for made in found if made.tags.get("fingerprint") == fingerprint), None)

    def get(self, alias: Alias) -> Version | None:
        """The version an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        try:
            return _version(self._client.get_model_version_by_alias(NAME, alias))
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def challenger(self) -> Version:
        """The newest trained version.

        Raises:
            RegistryError: nothing has been trained.
        """
        version = self.get("challenger")
        if version is None:
            raise RegistryError(
                "No model has been trained yet: run `thumbrank run --niche NAME`, or trained_model in Dagster."
            )
        return version

    def point(self, alias: Alias, number: int) -> None:
        """Move an alias."""
        self._client.set_registered_model_alias(NAME, alias, str(number))

    def verdict(self, number: int) -> tuple[str | None, str]:
        """What the gate said of a version, (None, "") when it has not been asked."""
        tags = self._client.get_model_version(NAME, str(number)).tags
        return tags.get("gate"), tags.get("gate_sentence", "")

    def tag(self, number: int, tags: dict[str, str]) -> None:
        """Write what was decided on a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(NAME, str(number), key, value)


def _version(made: Any) -> Version:
    return Version(
        number=int(made.version),
        fingerprint=made.tags["fingerprint"],
        folder=Path(made.tags["folder"]),
        run_id=made.run_id,
        niches=tuple(made.tags["niches"].split(",")),
    )
