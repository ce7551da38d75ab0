"""How many requests are let in, and how long each may take."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from facemargin.serving.batching import seconds_left, set_deadline
from facemargin.serving.errors import RequestError, too_late

Answer = TypeVar("Answer")


class Turns:
    """Lets in `queue` requests at a time, works on `threads` of them, and ends each after `deadline` seconds."""

    def __init__(self, queue: int, threads: int, deadline: float) -> None:
        self._queue, self._deadline = queue, deadline
        self._threads = ThreadPoolExecutor(threads, "request")
        self._lock = threading.Lock()
        self._inside = 0

    @property
    def inside(self) -> int:
        """How many requests are worked on or wait."""
        return self._inside

    @asynccontextmanager
    async def turn(self, receive: Receive | None = None) -> AsyncIterator["Turn"]:
        """The turn of a request, in which its body is read and its work done. RequestError if too many are inside, and
        after the deadline. A thread that is at work then goes on, and its turn with it. With its `receive`, work that
        has not begun when the client goes away is never begun; then ClientDisconnect."""
        with self._lock:
            if self._inside >= self._queue:
                raise RequestError(
                    429,
                    "too_busy",
                    f"{self._queue} requests wait already: ask again after the seconds of Retry-After",
                    {"Retry-After": "1"},
                )
            self._inside += 1
        turn = Turn(self._threads, time.monotonic() + self._deadline, self._leave, receive)
        try:
            async with asyncio.timeout(self._deadline):
                yield turn
        except TimeoutError as error:
            if turn.begun:
                raise too_late() from error
            raise RequestError(
                408, "too_slow", f"the body of the request did not arrive within {self._deadline:g} s"
            ) from error
        finally:
            if not turn.begun:
                self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1

    def close(self) -> None:
        """Wait for all work that has begun."""
        self._threads.shutdown()


class Turn:
    """One request's."""

    def __init__(
        self, threads: ThreadPoolExecutor, deadline: float, leave: Callable[[], None], receive: Receive | None
    ) -> None:
        self._threads, self._deadline, self._leave, self._receive = threads, deadline, leave, receive
        self.begun = False

    async def work(self, job: Callable[[], Answer]) -> Answer:
        """The result of `job`, done in a thread; once a turn."""

        def timed() -> Answer:
            set_deadline(self._deadline)
            try:
                seconds_left()
                return job()
            finally:
                set_deadline(None)

        future: Future[Answer] = self._threads.submit(timed)
        self.begun = True
        future.add_done_callback(lambda _: self._leave())
        if self._receive is None:
            return await asyncio.wrap_future(future)
        work, gone = asyncio.wrap_future(future), asyncio.create_task(_gone(self._receive))
        either: list[asyncio.Future[Any]] = [work, gone]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return await work
        finally:
            gone.cancel()
            work.cancel()  # has an effect on what has not begun only


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
