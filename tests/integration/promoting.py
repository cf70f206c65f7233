"""A registry of small models with verdicts, in an MLflow of its own beside a real Postgres: for the tests of promotion."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, LiteralString

import torch
from mlflow.tracking import MlflowClient
from pydantic import SecretStr

from tests.unit.evaluations import card
from tests.unit.evaluations import verdict as drawn_verdict
from thumbrank_core.evaluation.gate import Status
from thumbrank_core.model.bundle import save_card, save_weights
from thumbrank_core.model.network import NetworkShape, ThumbnailRankingModel
from thumbrank_core.promotion import promote, rollback
from thumbrank_core.registry import Registry
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.training.tracking.mlflow import MlflowTracker

SHAPE = NetworkShape(
    clip_dim=12,
    text_dim=6,
    hidden_dim=8,
    norm="layer",
    dropout=0,
    head_dropout=0,
    wide=True,
    read_out="shared",
)


def empty_mlflow(folder: Path) -> Path:
    """An MLflow database with nothing in it, to copy: making one takes seconds."""
    path = folder / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_registered_models()
    return path


def verdict(against=None, *, status: Status = "pass"):
    """What the gate may have said, measured against that champion."""
    return replace(drawn_verdict(status), against=against)


@dataclass
class Shop:
    """Where versions are made and promoted."""

    db: Database
    home: Path
    run_id: str = field(init=False)

    @classmethod
    def opened(cls, db: Database, home: Path, mlflow: Path):
        """A shop without any model."""
        (home / "mlflow").mkdir()
        shutil.copyfile(mlflow, home / "mlflow" / "mlflow.db")
        shop = cls(db, home)
        with MlflowTracker(shop.settings.tracking_uri, home / "mlflow" / "artifacts", "training", {}) as tracker:
            shop.run_id = tracker.run_id
        return shop

    @property
    def settings(self):
        tracking = SecretStr(f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}")
        return Settings(THUMBRANK_HOME=self.home, MLFLOW_TRACKING_URI=tracking)

    @property
    def registry(self):
        return Registry(self.settings.tracking_uri)

    @property
    def champion(self):
        found = self.registry.get("champion")
        return None if found is None else found.number

    def folder(self, number):
        return self.home / "models" / f"{number:012x}"

    def make(self, number, *, niches=("tech", "news"), said=None):
        """Register version `number`, and let the gate have said `said` of it."""
        torch.manual_seed(number)
        folder = self.folder(number)
        made = card(
            fingerprint=f"{number:012x}" + "0" * 52,
            network=SHAPE,
            niches=dict.fromkeys(niches, "1"),
            weights_sha256=save_weights(folder, ThumbnailRankingModel.of(SHAPE)),
        )
        save_card(folder, made)
        (folder / "manifest.parquet").write_bytes(b"rows")
        (folder / "owners").mkdir()
        (folder / "owners" / "UC.json").write_text("private")
        version = self.registry.register(made, folder, self.run_id, str(folder))
        assert version.number == number
        if said is not None:
            self.registry.record_verdict(number, said, {"evaluated_at": "2026-11-28T09:00:00+00:00"})
        return version

    def line(self, *numbers):
        """Versions that were promoted one after the other."""
        before = None
        for number in numbers:
            self.make(number, said=verdict(before))
            assert self.promote(number, before).kind == "promoted"
            before = number

    def promote(self, version, expected, **more):
        asked: dict[str, Any] = {"who": "me"} | more
        return promote(self.db, self.registry, version=version, expected=expected, **asked)

    def rollback(self, expected, to=None, **more):
        asked: dict[str, Any] = {"why": "it is bad", "who": "me"} | more
        return rollback(self.db, self.registry, expected=expected, to=to, **asked)

    def spoil(self, number):
        """Damage a version's weights."""
        (self.folder(number) / "model.safetensors").write_bytes(b"damaged")

    def rows(self, columns: LiteralString = "kind, version, from_version"):
        with self.db.connection() as connection:
            return connection.execute(f"select {columns} from thumbrank.promotions order by promotion_id").fetchall()
