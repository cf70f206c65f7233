"""The engine under every stage: some requests in flight, their answers written and committed together, then the next.

A wave is one transaction: write the answers that have come, note that they are done, take the next tasks, charge the
ledger for them. Only after its commit are they sent. So an attempt is charged before it is sent without a commit of its
own, and what a kill can cost is what was in flight: at most `workers` requests, which the next run asks again.
"""

import contextlib
import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

import psycopg

from thumbrank_core.store.database import Database
from thumbrank_core.store.tombstones import hold_off_removals
from thumbrank_core.youtube.client import Answer, YouTube
from thumbrank_core.youtube.errors import (
    FatalYouTubeError,
    QuotaSpentError,
    RetryableYouTubeError,
    SkippableYouTubeError,
)
from thumbrank_core.youtube.in_flight import Workers
from thumbrank_core.youtube.quota import Bucket, BudgetSpentError, QuotaLedger

T = TypeVar("T")

LINGER_SECONDS = 0.05
"""How long a wave waits for half of its requests, so that a fast server does not cause a transaction per answer."""


@dataclass(frozen=True)
class TaskOutcome(Generic[T]):
    """A task that is settled: an answer, or the reason why this item cannot be had."""

    task: T
    answer: Answer | None
    refusal: SkippableYouTubeError | None
    at: datetime


@dataclass(frozen=True)
class _Paid(Generic[T]):
    """A task and the bucket that it was charged to."""

    task: T
    bucket: Bucket


class Stage(ABC, Generic[T]):
    """One step of a collection. Its work lies in Postgres, so that a killed run finds it again."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def bucket(self) -> Bucket:
        """What its requests are charged to."""

    @abstractmethod
    def plan(self, connection: psycopg.Connection[Any]) -> None:
        """Write down the work of this stage; called once a collection."""

    @abstractmethod
    def remaining(self, connection: psycopg.Connection[Any]) -> int:
        """Items that are still to be asked for."""

    @abstractmethod
    def take(self, connection: psycopg.Connection[Any], count: int) -> list[T]:
        """Up to `count` tasks that this run has not taken yet."""

    @abstractmethod
    def give_back(self, tasks: Sequence[T]) -> None:
        """Tasks that could not be paid for: the next `take` returns them first."""

    @abstractmethod
    def send(self, api: YouTube, task: T) -> Answer:
        """Ask. Runs in a thread."""

    @abstractmethod
    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[TaskOutcome[T]]) -> int:
        """Write what came and that it is done; returns how many items that settles."""


@dataclass(frozen=True)
class Pause:
    """Why a stage ended before its work did, and when it can go on."""

    reason: str
    resumes_at: datetime


def run_stage(
    database: Database,
    stage: Stage[T],
    api: YouTube,
    ledger: QuotaLedger,
    workers: int,
    advance: Callable[[int], None],
) -> Pause | None:
    """Work through a stage; returns None when every task was sent.

    Raises:
        FatalYouTubeError: going on makes no sense; every other answer in flight has been written.
    """
    waves = _Waves(database, stage, api, ledger, workers, advance)

    def send(task: _Paid[T]) -> Answer:
        return stage.send(api, task.task)

    ended = False
    try:
        with Workers(send, workers) as crew:
            waves.run(crew)
        ended = True
    finally:
        if not ended:
            api.stop()  # Ctrl-C must not wait for retries; what was in flight is asked again by the next run
    if waves.fatal is not None:
        raise waves.fatal
    return waves.pause


class _Waves(Generic[T]):
    """The state of one run of a stage."""

    def __init__(
        self,
        database: Database,
        stage: Stage[T],
        api: YouTube,
        ledger: QuotaLedger,
        workers: int,
        advance: Callable[[int], None],
    ) -> None:
        self.database, self.stage, self.api, self.ledger = database, stage, api, ledger
        self.workers, self.advance = workers, advance
        self.pause: Pause | None = None
        self.fatal: FatalYouTubeError | None = None
        self.failed = 0
        """Requests that failed after every retry; the next run asks them again."""
        self.in_a_row = 0
        self.last_failure = ""

    def run(self, crew: Workers[_Paid[T], Answer]) -> None:
        outcomes: list[TaskOutcome[T]] = []
        while True:
            with self.database.connection() as connection:
                hold_off_removals(connection)  # before the first write: whoever removes waits for us, and we for them
                settled = self.stage.write(connection, outcomes) if outcomes else 0
                # A client that was never answered tries one request first: a refused key costs one unit, not one a worker.
                tasks = self._paid(connection, self.workers - crew.in_flight if self.api.calls else 1)
            self.advance(settled)
            for task in tasks:
                crew.submit(task)
            if not crew.in_flight:
                if self.failed and self.pause is None:
                    self.pause = self._gave_up()
                return
            arrived = self._arrived(crew)
            outcomes = [found for paid, future in arrived if (found := self._settle(paid, future)) is not None]

    def _paid(self, connection: psycopg.Connection[Any], free: int) -> list[_Paid[T]]:
        """The next tasks, as many as there are free workers and units."""
        if self.pause is not None or self.fatal is not None:
            return []
        tasks = self.stage.take(connection, free)
        if not tasks:
            return []
        granted = self.ledger.prepay(connection, self.stage.bucket, len(tasks))
        if granted < len(tasks):
            self.stage.give_back(tasks[granted:])
            self._pause(self.ledger.why_not(self.stage.bucket))
        return [_Paid(task, self.stage.bucket) for task in tasks[:granted]]

    def _arrived(self, crew: Workers[_Paid[T], Answer]) -> list[tuple[_Paid[T], Future[Answer]]]:
        """What is done: at least one, and half of the workers unless that takes longer than the linger."""
        arrived = [crew.take()]
        deadline = time.monotonic() + LINGER_SECONDS
        with contextlib.suppress(queue.Empty):
            while crew.in_flight:
                patience = deadline - time.monotonic() if len(arrived) < self.workers // 2 else 0
                arrived.append(crew.take(timeout=max(0.0, patience)))
        return arrived

    def _settle(self, paid: _Paid[T], future: Future[Answer]) -> TaskOutcome[T] | None:
        """What became of a request; None where the task stays open for the next run."""
        task, bucket = paid.task, paid.bucket
        try:
            answer = future.result()
        except SkippableYouTubeError as error:
            return TaskOutcome(task, None, error, self.api.now)
        except BudgetSpentError as error:
            self._pause(error)
        except QuotaSpentError as error:
            self._pause(self.ledger.exhaust(bucket), str(error))
        except FatalYouTubeError as error:
            self.fatal = self.fatal or error
        except RetryableYouTubeError as error:
            self.failed += 1
            self.in_a_row += 1
            self.last_failure = str(error)
            if self.in_a_row >= self.workers:
                self.pause = self.pause or self._gave_up()
        else:
            self.in_a_row = 0
            return TaskOutcome(task, answer, None, answer.at)
        return None

    def _gave_up(self) -> Pause:
        return Pause(f"{self.failed} requests failed after every retry (the last: {self.last_failure})", self.api.now)

    def _pause(self, error: BudgetSpentError, said: str = "") -> None:
        if self.pause is None:
            self.pause = Pause(said or str(error), error.resumes_at)
