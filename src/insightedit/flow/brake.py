"""How a run ends before its end: nothing new begins, and what is paid for is waited for.

`Stop` (budget spent, key refused) lets every shard finish the step that it is in. A signal (Ctrl-C, SIGTERM) or any
other error waits for the asynchronous items under way only, for `GRACE_S` seconds at most; a second signal for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from insightedit.core.errors import Stop

log = logging.getLogger(__name__)

GRACE_S = 30.0  # what schedulers allow between SIGTERM and SIGKILL


class Ending(Exception):
    """An item was not begun, for the run is ending. Never seen outside `flow`."""


class Brake:
    """Of one run, in its event loop."""

    def __init__(self) -> None:
        self.error: BaseException | None = None  # why the run ends; None while it goes on
        self.under_way: set[asyncio.Task[Any]] = set()  # asynchronous items that were begun
        self._urgent, self._at_once = asyncio.Event(), asyncio.Event()

    def pull(self, error: BaseException) -> None:
        """Begin nothing new; the first error is the one that the run ends with, unless a harder one follows a Stop."""
        if self.error is None or (isinstance(self.error, Stop) and not isinstance(error, Stop)):
            self.error = error
        if not isinstance(error, Stop):
            self._urgent.set()

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """An asynchronous item, while it is under way.

        Raises:
            Ending: it must not begin.
        """
        if self.error is not None:
            raise Ending
        task = asyncio.current_task()
        assert task is not None
        self.under_way.add(task)
        try:
            yield
        finally:
            self.under_way.discard(task)

    async def until_done(self, work: asyncio.Future[Any]) -> None:
        """Wait for the work, or for the end that the brake allows it.

        Raises:
            BaseException: what ended the run; KeyboardInterrupt after a signal.
        """
        urgent = asyncio.ensure_future(self._urgent.wait())
        try:
            await asyncio.wait([work, urgent], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await self._settled()
        finally:
            urgent.cancel()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)  # until the cancelled have closed what they hold
        if self.error is not None:
            raise self.error
        work.result()

    async def _settled(self) -> None:
        if not self.under_way:
            return
        log.warning("ending: waiting for %d requests, %g s at most; again to end now", len(self.under_way), GRACE_S)
        through = asyncio.ensure_future(asyncio.wait(set(self.under_way)))
        at_once = asyncio.ensure_future(self._at_once.wait())
        await asyncio.wait([through, at_once], timeout=GRACE_S, return_when=asyncio.FIRST_COMPLETED)
        through.cancel()
        at_once.cancel()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM pull the brake; elsewhere than in a main thread they stay as they were."""
        loop, before = asyncio.get_running_loop(), {}
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or another thread
                loop.add_signal_handler(number, self._signalled)
                before[number] = handler
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _signalled(self) -> None:
        if self._urgent.is_set():
            self._at_once.set()
        self.pull(KeyboardInterrupt())
