"""The two shapes of work: items with pages (collection_progress) and videos in batches (collection_queue)."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, LiteralString

import psycopg
from psycopg import sql

from thumbrank_core.batches import batched
from thumbrank_core.youtube.client import MAX_IDS
from thumbrank_core.youtube.crawl import CrawlContext
from thumbrank_core.youtube.waves import Stage, T


@dataclass(frozen=True)
class PageTask:
    """One page of one item."""

    item: str
    page_token: str | None
    pages: int
    """Pages that were read before this one."""


class _Taking(Stage[T]):
    """Remembers what this run has taken, so that nothing is in flight twice."""

    def __init__(self, context: CrawlContext) -> None:
        self.context = context
        self._cursor = -1
        self._returned: list[T] = []

    def give_back(self, tasks: Sequence[T]) -> None:
        """The next `take` returns them first."""
        self._returned = [*tasks, *self._returned]

    def take(self, connection: psycopg.Connection[Any], count: int) -> list[T]:
        """Up to `count` tasks that this run has not taken yet."""
        tasks, self._returned = self._returned[:count], self._returned[count:]
        return tasks + (self._read(connection, count - len(tasks)) if len(tasks) < count else [])

    @abstractmethod
    def _read(self, connection: psycopg.Connection[Any], count: int) -> list[T]:
        """Up to `count` tasks after the cursor."""


class PagedStage(_Taking[PageTask]):
    """Items with pages: each next page is asked for once its predecessor is written."""

    def __init__(self, context: CrawlContext) -> None:
        super().__init__(context)
        self._restarted: set[str] = set()

    def remaining(self, connection: psycopg.Connection[Any]) -> int:
        """Items that are not done."""
        row = connection.execute(
            "select count(*)::int from thumbrank.collection_progress where niche = %s and stage = %s and not done",
            (self.context.niche, self.name),
        ).fetchone()
        assert row is not None, "an aggregate returns one row"
        return int(row[0])

    def _read(self, connection: psycopg.Connection[Any], count: int) -> list[PageTask]:
        rows = connection.execute(
            "select item, page_token, pages, position from thumbrank.collection_progress "
            "where niche = %s and stage = %s and not done and position > %s order by position limit %s",
            (self.context.niche, self.name, self._cursor, count),
        ).fetchall()
        if rows:
            self._cursor = int(rows[-1][3])
        return [PageTask(str(item), token, int(pages)) for item, token, pages, _ in rows]

    def note(self, connection: psycopg.Connection[Any], tasks: Sequence[tuple[PageTask, str | None, bool]]) -> int:
        """Write (task, its next page token, whether it ends the item); returns how many items that ends.

        An item that goes on is what `take` returns next, so that few items are open at a time.
        """
        connection.execute(
            "update thumbrank.collection_progress p set page_token = s.token, pages = s.pages, done = s.done "
            "from unnest(%s::text[], %s::text[], %s::int4[], %s::bool[]) as s(item, token, pages, done) "
            "where p.niche = %s and p.stage = %s and p.item = s.item",
            (
                [task.item for task, _, _ in tasks],
                [token for _, token, _ in tasks],
                [task.pages + 1 for task, _, _ in tasks],
                [done for _, _, done in tasks],
                self.context.niche,
                self.name,
            ),
        )
        self.give_back([PageTask(task.item, token, task.pages + 1) for task, token, done in tasks if not done])
        return sum(done for _, _, done in tasks)

    def may_restart(self, task: PageTask) -> bool:
        """Whether its page token may have aged: once a run, and only a page after the first."""
        if task.page_token is None or task.item in self._restarted:
            return False
        self._restarted.add(task.item)
        return True

    def restart(self, connection: psycopg.Connection[Any], tasks: Sequence[PageTask]) -> None:
        """Begin these items again: their page token was refused."""
        if not tasks:
            return
        connection.execute(
            "update thumbrank.collection_progress set page_token = null, pages = 0 "
            "where niche = %s and stage = %s and item = any(%s)",
            (self.context.niche, self.name, [task.item for task in tasks]),
        )
        self.give_back([PageTask(task.item, None, 0) for task in tasks])


Batch = tuple[str, ...]
"""At most 50 video ids."""


class QueueStage(_Taking[Batch]):
    """Videos, 50 a request. `wanted` is a select of video_id in terms of `CrawlContext.parameters`."""

    batch_size = MAX_IDS
    wanted: ClassVar[LiteralString]

    @property
    def parameters(self) -> dict[str, object]:
        """What `wanted` is written in terms of."""
        return self.context.parameters | {"stage": self.name}

    def plan(self, connection: psycopg.Connection[Any]) -> None:
        """Queue what is wanted."""
        connection.execute(
            sql.SQL(
                "insert into thumbrank.collection_queue (niche, stage, video_id) "
                "select %(niche)s, %(stage)s, video_id from ({wanted}) wanted on conflict do nothing"
            ).format(wanted=sql.SQL(self.wanted)),
            self.parameters,
        )

    def unplanned(self, connection: psycopg.Connection[Any]) -> int:
        """Videos that `plan` would queue now."""
        row = connection.execute(
            sql.SQL("select count(*)::int from ({wanted}) wanted").format(wanted=sql.SQL(self.wanted)), self.parameters
        ).fetchone()
        assert row is not None, "an aggregate returns one row"
        return int(row[0])

    def remaining(self, connection: psycopg.Connection[Any]) -> int:
        """Videos in the queue."""
        row = connection.execute(
            "select count(*)::int from thumbrank.collection_queue where niche = %s and stage = %s",
            (self.context.niche, self.name),
        ).fetchone()
        assert row is not None, "an aggregate returns one row"
        return int(row[0])

    def _read(self, connection: psycopg.Connection[Any], count: int) -> list[Batch]:
        rows = connection.execute(
            "select video_id, position from thumbrank.collection_queue where niche = %s and stage = %s and position > %s "
            "order by position limit %s",
            (self.context.niche, self.name, self._cursor, count * self.batch_size),
        ).fetchall()
        if rows:
            self._cursor = int(rows[-1][1])
        return [tuple(batch) for batch in batched([str(video_id) for video_id, _ in rows], self.batch_size)]
