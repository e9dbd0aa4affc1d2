"""The system's clock."""

from __future__ import annotations

import time


class SystemClock:
    """The time of the machine; implements ``interfaces.Clock``."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump when the machine's clock is set."""
        return time.time()
