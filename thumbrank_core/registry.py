"""The model registry in MLflow: register a candidate, find a version, keep its verdict, move an alias.

A version is an MLflow model around the bundle (models from code: model/pyfunc_model.py); the whole bundle, with its other
exports, is kept as artifacts of the training run. Nothing here reads or writes a pickle. Aliases: `challenger` is the newest
trained, `champion` is what serves; who may move that one, and when, is promotion.py.
"""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Literal

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation.gate import Verdict
from thumbrank_core.model.bundle import CARD, WEIGHTS, Bundle, BundleCard, load_bundle
from thumbrank_core.training.tracking.mlflow import client_at

NAME = "thumb-ranker"
Alias = Literal["challenger", "champion"]
REQUIRES = ("mlflow", "numpy", "pandas", "pydantic", "safetensors", "torch")
"""What loading a version takes beside thumbrank itself. That is on no package index: named here, an installer would fetch
whatever somebody put there under its name."""
_VERDICT_TAG = "gate_verdict"


class RegistryError(ThumbrankError):
    """The registry does not hold what was asked for."""


@dataclass(frozen=True)
class Version:
    """A registered model. `folder` is its bundle on this machine; `run_id` its MLflow run."""

    number: int
    fingerprint: str
    weights_sha256: str
    folder: Path
    run_id: str
    niches: tuple[str, ...]

    def bundle(self) -> Bundle:
        """Its bundle, after the digest that was registered matched.

        Raises:
            BundleError: it is missing, malformed or damaged.
            RegistryError: the folder holds other weights than were registered.
        """
        bundle = load_bundle(self.folder)
        if bundle.card.weights_sha256 != self.weights_sha256:
            raise RegistryError(
                f"{self.folder} holds other weights than version {self.number} was registered with (sha256 differs): "
                "restore the folder, or train again."
            )
        return bundle


class Registry:
    """Thumbrank's one registered model."""

    def __init__(self, tracking_uri: str) -> None:
        self._client: Any = client_at(tracking_uri)

    def register(self, card: BundleCard, folder: Path, run_id: str, artifact_uri: str) -> Version:
        """Make a new version of a bundle and point `challenger` at it.

        Args:
            card: the bundle's.
            folder: where the bundle is on this machine.
            run_id: the training's MLflow run.
            artifact_uri: where that run keeps the whole bundle.
        """
        if not self._client.search_registered_models(filter_string=f"name = '{NAME}'"):
            self._client.create_registered_model(
                NAME, description="Ranks a channel's thumbnails: the higher score is the likelier winner."
            )
        model = self._log_model(card, folder, run_id)
        made = self._client.create_model_version(
            NAME,
            source=model.artifact_location,
            run_id=run_id,
            model_id=model.model_id,
            tags={
                "fingerprint": card.fingerprint,
                "weights_sha256": card.weights_sha256,
                "data_sha256": card.data_sha256,
                "git_sha": card.git_sha or "unknown",
                "folder": str(folder),
                "bundle": artifact_uri,
                "niches": ",".join(card.niches),
                "recipe": str(card.recipe["name"]),
                "encoders": card.encoder_set,
            },
        )
        link = json.dumps([{"name": NAME, "version": int(made.version)}])  # MLflow's page of the model shows it
        self._client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": link})
        self.point("challenger", int(made.version))
        return _version(made)

    def _log_model(self, card: BundleCard, folder: Path, run_id: str) -> Any:
        """The bundle as a model of MLflow 3. By the client: the functions of the same purpose work on this process' one
        tracking URI and active run."""
        experiment = self._client.get_run(run_id).info.experiment_id
        model = self._client.create_logged_model(experiment, name=NAME, source_run_id=run_id, model_type="ranking")
        with tempfile.TemporaryDirectory() as place:
            _save_model(Path(place), card, folder, run_id, model.model_id)
            self._client.log_model_artifacts(model.model_id, str(Path(place) / "model"))
        return self._client.finalize_logged_model(model.model_id, "READY")

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

    def version(self, number: int) -> Version:
        """The version of that number.

        Raises:
            RegistryError: there is none.
        """
        return _version(self._registered(number))

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

    def record_verdict(self, number: int, verdict: Verdict, tags: Mapping[str, str]) -> None:
        """Write on a version what the gate said of it, in place of what it said before.

        Args:
            number: the version's.
            verdict: kept whole in one tag, which `verdict` reads; the other tags are for people.
            tags: more of them, such as evaluated_at.
        """
        self.tag(
            number,
            {
                **tags,
                "gate": verdict.status,
                "gate_sentence": verdict.sentence,
                "gate_against": str(verdict.against) if verdict.against is not None else "none",
                "test_set": verdict.test_set,
                _VERDICT_TAG: verdict.to_json(),
            },
        )

    def verdict(self, number: int) -> Verdict | None:
        """What the gate said of a version; None when it has not been asked.

        Raises:
            RegistryError: there is no such version.
        """
        written = self._registered(number).tags.get(_VERDICT_TAG)
        return None if written is None else Verdict.from_json(written)

    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Write something on a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(NAME, str(number), key, value)

    def add_pictures(self, version: Version, pictures: Mapping[str, bytes]) -> None:
        """Put PNG pictures, by name, among the artifacts of the version's run, where MLflow's page shows them."""
        with tempfile.TemporaryDirectory() as place:
            for name, png in pictures.items():
                (Path(place) / f"{name}.png").write_bytes(png)
            self._client.log_artifacts(version.run_id, place, "evaluation")

    def _registered(self, number: int) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version(NAME, str(number))
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise RegistryError(f"There is no version {number}: name one of {self._numbers()}.") from None
            raise

    def _numbers(self) -> str:
        found = sorted(int(made.version) for made in self._client.search_model_versions(f"name = '{NAME}'"))
        return ", ".join(map(str, found)) or "those that training will register"


def _save_model(place: Path, card: BundleCard, folder: Path, run_id: str, model_id: str) -> None:
    """Write `place`/model as MLflow keeps models. Only what scoring vectors takes goes in: neither the manifest nor an owner's
    own file."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    from thumbrank_core.model import pyfunc_model

    bundle = place / pyfunc_model.ARTIFACT
    bundle.mkdir()
    for name in (CARD, WEIGHTS):
        shutil.copyfile(folder / name, bundle / name)
    vector = Array(DataType.double)
    signature = ModelSignature(
        Schema([ColSpec(vector, pyfunc_model.IMAGE), ColSpec(vector, pyfunc_model.TITLE)]),
        Schema([ColSpec(DataType.double)]),
    )
    marks = {"fingerprint": card.fingerprint, "weights_sha256": card.weights_sha256}
    # Else it draws a bar for two files, also where no terminal is.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")  # it would be an invented one
        mlflow.pyfunc.save_model(
            place / "model",
            python_model=pyfunc_model.__file__,
            artifacts={pyfunc_model.ARTIFACT: str(bundle)},
            signature=signature,
            pip_requirements=[f"{name}=={installed(name)}" for name in REQUIRES],
            mlflow_model=Model(run_id=run_id, model_id=model_id, metadata=marks),
        )


def _version(made: Any) -> Version:
    return Version(
        number=int(made.version),
        fingerprint=made.tags["fingerprint"],
        weights_sha256=made.tags["weights_sha256"],
        folder=Path(made.tags["folder"]),
        run_id=made.run_id,
        niches=tuple(made.tags["niches"].split(",")),
    )
