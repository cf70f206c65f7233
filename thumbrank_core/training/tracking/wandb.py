"""Weights & Biases, only where somebody asks for it: the figures and the facts, and nothing else of the machine or the code."""

import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import ValidationError

from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.progress import say
from thumbrank_core.training.tracking.interface import Facts, RunOutcome, TrackingError
from thumbrank_core.training.tracking.scalars import scalars

if TYPE_CHECKING:
    import wandb

PROJECT = "thumbrank"


class WandbTracker:
    """A run of the account that `wandb login` made known to this machine; without one, or offline, a folder below `runs`
    (`runs/wandb/offline-run-…`) that `wandb sync` uploads later.

    A resumed training is a run of its own, which repeats the epochs done before.

    Raises:
        TrackingError: the package `wandb` is not installed, or one of its settings is wrong, or no run can be opened (from `begin`).
    """

    def __init__(self, runs: Path, name: str, *, offline: bool) -> None:
        # The package tells its makers how it is used and what went wrong, even offline; these two keep it from that.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("OTEL_SDK_DISABLED", "true")
        try:
            import wandb as package  # here: it costs a second, and it is an extra
        except ImportError:
            raise TrackingError(
                "Weights & Biases was asked for and is not installed: pip install 'thumbrank[wandb]'."
            ) from None
        self._package = package
        self._runs, self._name, self._offline = runs, name, offline
        self._run: wandb.Run | None = None
        self._real_click_rate = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Send what waits and close the run; after an error it counts as crashed."""
        self._close(0 if kind is None else 1)

    def begin(self, facts: Facts, history: Sequence[EpochRecord]) -> None:
        """Open the run; the facts are its config."""
        self._real_click_rate = facts.real_click_rate
        common = self._common_settings()
        logged_in = bool(common.api_key or common.identity_token_file) or _has_login(common.base_url)
        quiet = common.mode in ("offline", "dryrun", "disabled")
        self._runs.mkdir(parents=True, exist_ok=True)  # without it the package falls back to the system's /tmp
        settings = self._package.Settings(
            mode=common.mode if quiet or (logged_in and not self._offline) else "offline",
            silent=True,
            console="off",
            disable_code=True,
            save_code=False,
            disable_git=True,
            x_disable_meta=True,  # host name, user, command line
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        try:
            self._run = self._package.init(
                project=PROJECT, name=self._name, dir=self._runs, config=facts.plain(), settings=settings
            )
        except self._package.Error as error:
            raise TrackingError(
                f"Weights & Biases opened no run ({' '.join(str(error).split())[:200]}): `wandb login` again, or train offline "
                "with WANDB_MODE=offline."
            ) from None
        if self._run.settings.mode == "offline":
            why = "offline" if self._offline or quiet else "no account is known here (`wandb login`)"
            say(f"Weights & Biases: {why}; `wandb sync {self._run.settings.sync_dir}` uploads the run later")
        for record in history:
            self.epoch(record)

    def epoch(self, record: EpochRecord) -> None:
        """A point on every curve."""
        assert self._run is not None, "begin opens it"
        self._run.log(scalars(record, self._real_click_rate), step=record.epoch)

    def end(self, outcome: RunOutcome) -> None:
        """What ships and what is wrong with it, as the run's summary. An interrupted run is closed here: the signal that asked
        for it may end the process before the context is left."""
        assert self._run is not None, "begin opens it"
        self._run.summary.update(
            {"best_epoch": outcome.best_epoch, "shipped": outcome.shipped, "interrupted": outcome.interrupted}
            | {f"finding/{finding.kind}": finding.sentence for finding in outcome.findings}
        )
        if outcome.interrupted:
            self._close(1)

    def _close(self, exit_code: int) -> None:
        if self._run is not None:
            self._run.finish(exit_code=exit_code)
            self._run = None

    def _common_settings(self) -> "wandb.Settings":
        """What the environment and the files of Weights & Biases say."""
        try:
            return self._package.setup().settings
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise TrackingError(
                f"The setting {name} of Weights & Biases is not usable ({first['msg']}): mend it in the environment (WANDB_…) "
                "or in ~/.config/wandb/settings."
            ) from None


def _has_login(base_url: str) -> bool:
    """Whether `wandb login` left an entry for that server; the key itself is not looked at."""
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return urlsplit(base_url).netloc in netrc.netrc(str(path)).hosts
    except (OSError, netrc.NetrcParseError):  # none, or none that Weights & Biases could read
        return False
