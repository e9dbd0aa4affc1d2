"""Where files lie at Globus."""

from __future__ import annotations

import attrs

from dts_fsm.records.checks import normal_path, path_fault

_MAX_PATH = 4096


@attrs.frozen(kw_only=True)
class Place:
    """A collection, and the folder of it below which an endpoint's files lie.

    Attributes:
        collection: its id.
        folder: begins with "/" and ends with none, or is "".
    """

    collection: str
    folder: str

    def fault(self, below: str) -> str | None:
        """Give what is wrong with a path below the folder, or None.

        Source: https://docs.globus.org/api/transfer/task_submit/, Path Format, for the home folder.
        """
        if fault := path_fault(below):
            return fault
        path = self.path(below)
        if len(path) > _MAX_PATH:
            return f"the path {path[:50]!r}... is too long"
        if not self.folder and path.startswith("/~"):
            return f"the path {path!r} begins with what Globus takes for a home folder"
        return None

    def path(self, below: str) -> str:
        """Give the path in the collection of what is below the folder; ``below`` has no fault."""
        return f"{self.folder}/{normal_path(below)}"
