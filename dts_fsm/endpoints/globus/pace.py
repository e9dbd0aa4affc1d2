"""What an account may ask of Globus: so many requests in a second, and so many tasks at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from dts_fsm.errors import TransientError

REQUESTS_PER_S = 10.0
"""By default half of what Globus grants a user, 20 requests in a second: others may use the account, too."""

MAX_TASKS = 100
"""How many tasks of a user may be pending at Globus, which works on three of them at once.

Source: Globus, "FAQs: Transfer and Sharing", limits; https://docs.globus.org/api/transfer/task_behavior/, Queuing.
"""

_BURST_S = 1.0
_PATIENCE_S = 20.0


class Pace:
    """The requests of an account, spread out; safe from any thread.

    Args:
        per_s: how many may begin in a second, above 0; as many at once where none began in the last second.
        patience_s: for how long a request waits for its turn at most.
        clock, sleep: as ``time.monotonic`` and ``time.sleep``.
    """

    def __init__(
        self,
        per_s: float = REQUESTS_PER_S,
        *,
        patience_s: float = _PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._interval_s, self._patience_s = 1 / per_s, patience_s
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._next_at = self._held_until = clock() - _BURST_S  # a request that follows the last one evenly begins then

    def limit(self, per_s: float) -> None:
        """No more than so many requests begin in a second; a lower limit that was set before stays."""
        with self._lock:
            self._interval_s = max(self._interval_s, 1 / per_s)

    def wait(self) -> None:
        """Return when a request may begin.

        Raises:
            TransientError: that would take longer than a caller has patience; no turn is taken.
        """
        with self._lock:
            now = self._clock()
            # turns of the last second that nobody took may be taken now, but for one: it is this second's
            turn = max(self._next_at, self._held_until, now - max(_BURST_S - self._interval_s, 0.0))
            begins_at = max(turn, now)
            if begins_at - now > self._patience_s:
                raise TransientError(
                    f"Globus has had as many requests of this account as it grants: the next in {begins_at - now:.0f} s"
                )
            self._next_at = turn + self._interval_s
        if begins_at > now:
            self._sleep(begins_at - now)

    def hold(self, seconds: float) -> None:
        """Begin no request for so long: the service has said so. A longer time that it has said before stays."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)


class Slots:
    """Which tasks of an account are with Globus; safe from any thread."""

    def __init__(self, most: int = MAX_TASKS) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._taken: set[Hashable] = set()

    def take(self, owner: Hashable) -> bool:
        """True where the owner has a slot now, or had one already; False where all are taken."""
        with self._lock:
            if owner not in self._taken and len(self._taken) >= self.most:
                return False
            self._taken.add(owner)
            return True

    def keep(self, owner: Hashable) -> None:
        """The owner has a slot, however many are taken: its task is with Globus already."""
        with self._lock:
            self._taken.add(owner)

    def leave(self, owner: Hashable) -> None:
        """The owner has no slot. Idempotent."""
        with self._lock:
            self._taken.discard(owner)
