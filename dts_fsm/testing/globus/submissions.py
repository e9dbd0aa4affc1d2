"""What the loopback Globus takes for a transfer document, and what it refuses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dts_fsm.testing.globus.collections import ALGORITHMS

_FIELDS: Mapping[str, type] = {
    "DATA_TYPE": str,
    "submission_id": str,
    "source_endpoint": str,
    "destination_endpoint": str,
    "DATA": list,
    "label": str,
    "deadline": str,
    "sync_level": int,
    "verify_checksum": bool,
    "encrypt_data": bool,
    "preserve_timestamp": bool,
    "delete_destination_extra": bool,
    "skip_source_errors": bool,
    "fail_on_quota_errors": bool,
    "recursive_symlinks": str,
    "store_base_path_info": bool,
    "notify_on_succeeded": bool,
    "notify_on_failed": bool,
    "notify_on_inactive": bool,
    "skip_activation_check": bool,
}
"""Source: https://docs.globus.org/api/transfer/task_submit/, the tables of fields."""

_ITEM_FIELDS: Mapping[str, type] = {
    "DATA_TYPE": str,
    "source_path": str,
    "destination_path": str,
    "recursive": bool,
    "external_checksum": str,
    "checksum_algorithm": str,
}

_NEEDED = ("DATA_TYPE", "submission_id", "source_endpoint", "destination_endpoint", "DATA")
_MOST_LABEL = 128
_DEFAULT_DEADLINE = timedelta(days=1)


def check_submission(document: Mapping[str, Any], collections: Collection[UUID]) -> datetime:
    """Give the deadline of a document that can be carried out.

    Raises:
        LookupError: there is no such collection.
        ValueError: anything else is wrong.
    """
    _check_fields(document, _FIELDS, _NEEDED, "transfer")
    for end in ("source_endpoint", "destination_endpoint"):
        if UUID(document[end]) not in collections:
            raise LookupError(f"No such collection {document[end]}")
    label = document.get("label") or ""
    if len(label) > _MOST_LABEL or label != label.strip() or "\n" in label or "\r" in label:
        raise ValueError("The label is too long, or has line breaks or blanks at its ends")
    if document.get("sync_level") not in (None, 0, 1, 2, 3):
        raise ValueError("The sync_level is none of 0, 1, 2 and 3")
    if document.get("delete_destination_extra"):
        raise ValueError("This service deletes nothing: delete_destination_extra is not supported")
    if not document["DATA"]:
        raise ValueError("There is nothing to transfer")
    for item in document["DATA"]:
        if not isinstance(item, dict):
            raise ValueError("An item is no object")  # noqa: TRY004 - of a document, not of a call
        _check_fields(item, _ITEM_FIELDS, ("DATA_TYPE", "source_path", "destination_path"), "transfer_item")
        if item.get("recursive"):
            raise ValueError("This service transfers single files: recursive is not supported")
        if (item.get("checksum_algorithm") or "MD5").upper() not in ALGORITHMS:
            raise ValueError(f"Unknown checksum_algorithm {item['checksum_algorithm']}")
    return _deadline(document.get("deadline"))


def _check_fields(
    document: Mapping[str, Any], fields: Mapping[str, type], needed: Collection[str], data_type: str
) -> None:
    if missing := [name for name in needed if document.get(name) is None]:
        raise ValueError(f"Missing: {', '.join(missing)}")
    if document["DATA_TYPE"] != data_type:
        raise ValueError(f"The DATA_TYPE must be {data_type}")
    for name, value in document.items():
        if name not in fields:
            raise ValueError(f"Unknown field {name}")
        # true is a number, too
        if value is not None and (type(value) is not fields[name]):
            raise ValueError(f"The field {name} must be of the type {fields[name].__name__}")


def _deadline(text: str | None) -> datetime:
    """The time at which a task ends by itself, a day after its submission by default.

    Source: https://docs.globus.org/api/transfer/task_behavior/, Deadlines.
    """
    now = datetime.now(UTC)
    if text is None:
        return now + _DEFAULT_DEADLINE
    deadline = datetime.fromisoformat(text)
    deadline = deadline if deadline.tzinfo else deadline.replace(tzinfo=UTC)
    if deadline <= now:
        raise ValueError("The deadline has passed")
    return deadline
