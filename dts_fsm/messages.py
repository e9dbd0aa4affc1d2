"""Messages: each transition of a transfer, to all who subscribed.

Messages are read from the history, where each has its number. So live and replayed ones are the same, what another
process did is heard too, and nobody hears of a transition before it is durable.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self
from uuid import UUID

from dts_fsm.errors import StoreError
from dts_fsm.records import Message
from dts_fsm.records.checks import check_seconds
from dts_fsm.store import Store

_log = logging.getLogger(__name__)

_LISTEN_S = 0.25
"""How soon transitions that another process recorded are heard of."""

_PAGE = 500
_AT_ONCE = 100
"""How many messages a subscription takes at a time, beside those of its buffer."""


class _Recent:
    """The messages that came last, once for all who hear of everything: each keeps its place in them.

    Attributes:
        size: how many are kept at least.
        end: how many there have ever been.
    """

    def __init__(self) -> None:
        self.size = self.end = 0
        self._kept: list[Message] = []

    def add(self, messages: Sequence[Message]) -> None:
        """These came next."""
        self._kept += messages
        self.end += len(messages)
        if len(self._kept) > 2 * self.size:
            del self._kept[: -self.size or None]

    def since(self, place: int, most: int) -> list[Message]:
        """Give those from this place on, as far as there are so many."""
        first = place - self.end + len(self._kept)
        return self._kept[first : first + most]


class Subscription:
    """An iterator over messages, and a context manager; made by ``Orchestrator.subscribe``.

    Iteration waits for the next message, and ends when the subscription or the orchestrator is closed. Use one
    subscription from one thread.
    """

    def __init__(self, hub: Hub, buffer_size: int, after: int | None, transfer_id: UUID | None) -> None:
        self._hub = hub
        self._transfer_id = transfer_id
        self._after = after
        self._size = buffer_size
        self._dropped = 0
        self._buffer: deque[Message] = deque()
        self._place = self._end = 0
        self._ready = threading.Condition()
        self._closed = self._ended = self._finishing = False

    @property
    def dropped(self) -> int:
        """How many messages were lost because the buffer was full when they came."""
        return self._dropped + self._missed()

    def _missed(self) -> int:
        """How many messages have gone by since this subscription last took some."""
        return max(self._last() - self._size - self._place, 0) if self.hears_all else 0

    def _last(self) -> int:
        return self._end if self._closed else self._hub.recent.end

    def get(self, timeout_s: float | None = None) -> Message | None:
        """Give the next message, after waiting for it; None when time is over or the subscription has ended."""
        check_seconds(timeout_s)
        if self.hears_all and self._buffer:
            return self._buffer.popleft()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            seen = self._hub.changes
            if self._after is not None:
                self._read_on()
            elif self.hears_all:
                self._take()
            with self._ready:
                message = self._buffer.popleft() if self._buffer else None
                if message is not None and self._transfer_id is not None:
                    self._ended = self._ended or message.status.final
                over = self._ended or (message is None and (self._closed or self._finishing))
            if over:
                self._hub.forget(self)
            if message is not None or over or (deadline is not None and time.monotonic() >= deadline):
                return message
            wait_s = _LISTEN_S if deadline is None else min(_LISTEN_S, max(deadline - time.monotonic(), 0.0))
            if self._after is not None:
                self._hub.wait(seen, wait_s)
            elif self.hears_all:
                self._hub.wait_for_more(lambda: self._last() > self._place or self._closed or self._finishing, wait_s)
            else:
                with self._ready:
                    self._ready.wait_for(lambda: self._buffer or self._closed or self._finishing, wait_s)

    def _read_on(self) -> None:
        """Fill the empty buffer with the next page of the history."""
        while not self._buffer and not self._closed and self._after is not None:
            messages, last = self._hub.store.messages(self._after, _PAGE, self._transfer_id)
            if last == self._after:
                return
            self._buffer.extend(messages)
            self._after = last

    def _take(self) -> None:
        """Fill the empty buffer with what came last, as far as it was not lost."""
        with self._hub.more:
            missed = self._missed()
            self._dropped += missed
            self._place += missed
            fresh = self._hub.recent.since(self._place, min(self._last() - self._place, _AT_ONCE))
            self._place += len(fresh)
        self._buffer.extend(fresh)

    def begin(self) -> None:
        """It hears of what comes from now on."""
        self._place = self._hub.recent.end

    def put(self, message: Message) -> None:
        """Take a message of its transfer in; the oldest makes room for it where the buffer is full."""
        with self._ready:
            if self._closed:
                return
            if len(self._buffer) >= self._size:
                self._dropped += 1
                self._buffer.popleft()
            self._buffer.append(message)
            self._ready.notify()

    def finish(self) -> None:
        """End after what there is to read now. Idempotent."""
        self._stop(lambda: setattr(self, "_finishing", True))

    def close(self) -> None:
        """Receive nothing more; what is in the buffer can still be read. Idempotent."""
        self._stop(self._close)
        self._hub.forget(self)

    def _close(self) -> None:
        if not self._closed:
            self._end = self._hub.recent.end
            # it may be read long after others have driven it out
            missed = self._missed()
            self._dropped += missed
            self._place += missed
            if self.hears_all:
                self._buffer.extend(self._hub.recent.since(self._place, self._end - self._place))
                self._place = self._end
            self._closed = True

    def _stop(self, change: Callable[[], object]) -> None:
        with self._hub.more, self._ready:
            change()
            self._ready.notify_all()
            self._hub.more.notify_all()

    @property
    def hears_all(self) -> bool:
        """True where it hears of every transition from its beginning on."""
        return self._after is None and self._transfer_id is None

    @property
    def transfer_id(self) -> UUID | None:
        """The only transfer that it hears of, or None for all."""
        return self._transfer_id

    @property
    def live(self) -> bool:
        """True where the hub must hand it messages; one that replays reads for itself, and can lose nothing."""
        return self._after is None

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        message = self.get()
        if message is None:
            raise StopIteration
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Hub:
    """Reads new messages from the store, once for all, and hands them to the subscriptions.

    It has a thread of its own, so that neither the scheduler nor a subscriber waits for another.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.changes = 0
        self._changed = threading.Condition()
        self._handing_out = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self.recent, self.more = _Recent(), threading.Condition()
        self._seq = 0
        self._thread: threading.Thread | None = None
        self._running = False

    def start(self) -> None:
        """Messages flow."""
        self._seq = self.store.last_seq()
        self._running = True
        self._thread = threading.Thread(target=self._run, name="dts-messages", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hand out what is recorded so far, and close all subscriptions. Idempotent."""
        with self._changed:
            self._running = False
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join()
        with self._handing_out:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()

    def subscribe(self, buffer_size: int, after: int | None, transfer_id: UUID | None) -> Subscription:
        """Give a new subscription: of what comes from now on, or of all after a number."""
        subscription = Subscription(self, buffer_size, after, transfer_id)
        with self._handing_out:
            if subscription.live:
                # what was recorded before belongs to the others only
                self._hand_out()
                with self.more:
                    self.recent.size = max(self.recent.size, buffer_size)
                    subscription.begin()
            self._subscriptions.add(subscription)
        return subscription

    def flush(self) -> None:
        """Everything that is recorded has been handed out."""
        with self._handing_out:
            self._hand_out()

    def forget(self, subscription: Subscription) -> None:
        """The subscription receives nothing more. Idempotent."""
        with self._handing_out:
            self._subscriptions.discard(subscription)

    def notify(self) -> None:
        """Something was recorded."""
        with self._changed:
            self.changes += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout_s: float) -> None:
        """Wait until something was recorded since ``changes`` was ``seen``, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.changes != seen or not self._running, timeout_s)

    def wait_for_more(self, there: Callable[[], object], timeout_s: float) -> None:
        """Wait until something was handed out and this is true, or the time is over."""
        with self.more:
            self.more.wait_for(there, timeout_s)

    def _run(self) -> None:
        seen = -1
        while True:
            self.wait(seen, _LISTEN_S)
            with self._changed:
                seen, running = self.changes, self._running
            try:
                with self._handing_out:
                    self._hand_out()
            except StoreError:
                _log.exception("messages cannot be read: tried again", extra={"action": "publish"})
            if not running:
                return

    def _hand_out(self) -> None:
        of_one: defaultdict[UUID, list[Subscription]] = defaultdict(list)
        hears_all = False
        for subscription in self._subscriptions:
            if subscription.live and subscription.transfer_id is not None:
                of_one[subscription.transfer_id].append(subscription)
            hears_all = hears_all or subscription.hears_all
        if not of_one and not hears_all:
            self._seq = self.store.last_seq()
            return
        while True:
            messages, last = self.store.messages(self._seq, _PAGE)
            for message in messages if of_one else ():
                for subscription in of_one.get(message.transfer_id, ()):
                    subscription.put(message)
            if messages and hears_all:
                with self.more:
                    self.recent.add(messages)
                    self.more.notify_all()
            if last == self._seq:
                return
            self._seq = last
