"""Where files lie at Globus."""

from __future__ import annotations

import attrs

from dts_fsm.records.checks import normal_path


@attrs.frozen(kw_only=True)
class Place:
    """A collection, and the folder of it below which an endpoint's files lie.

    Attributes:
        collection: its id.
        folder: begins with "/" and ends with none, or is "".
    """

    collection: str
    folder: str

    def path(self, below: str) -> str:
        """Give the path in the collection of what is below the folder; ``below`` has no fault."""
        return f"{self.folder}/{normal_path(below)}"
