"""The calls of multipart uploads, by key and upload id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from dts_fsm.endpoints.s3.digests import PartChecksum
from dts_fsm.endpoints.s3.faults import AbsentError, PreconditionError
from dts_fsm.endpoints.s3.service import Service
from dts_fsm.errors import SourceChangedError, TransientError


@attrs.frozen(kw_only=True)
class Part:
    """A part of an unfinished upload.

    Attributes:
        etag: without quotation marks.
        checksum: in base64, or None where the service does not say it.
    """

    bytes: int
    etag: str
    checksum: str | None


@attrs.frozen(kw_only=True)
class Upload:
    """An unfinished multipart upload."""

    key: str
    id: str
    started_at: datetime


class Multipart:
    """Objects of a bucket that are put in parts; raises as ``Service`` does."""

    def __init__(self, service: Service, checksum: PartChecksum) -> None:
        self._service, self._checksum = service, checksum

    def uploads(self, prefix: str) -> list[Upload]:
        """Give the unfinished multipart uploads of keys that begin so."""
        return [
            Upload(key=item["Key"], id=item["UploadId"], started_at=item["Initiated"])
            for page in self._service.pages("list_multipart_uploads", prefix)
            for item in page.get("Uploads", ())
        ]

    def begin(self, key: str) -> str:
        """Begin a multipart upload, and give its id."""
        return self._service.call("create_multipart_upload", key, **self._checksum.upload)["UploadId"]  # type: ignore[no-any-return]

    def parts(self, key: str, upload: str, *, after: int = 0) -> dict[int, Part]:
        """Give the parts of an upload by their numbers, those after a number."""
        found: dict[int, Part] = {}
        while True:
            answer = self._service.call("list_parts", key, UploadId=upload, PartNumberMarker=after)
            for item in answer.get("Parts", ()):
                found[item["PartNumber"]] = Part(
                    bytes=item["Size"],
                    etag=_etag(item),
                    checksum=item.get(self._checksum.name) if self._checksum.name else None,
                )
            after = answer.get("NextPartNumberMarker") or 0
            if not answer.get("IsTruncated") or not after:
                return found

    def put_part(self, key: str, upload: str, number: int, content: bytes, value: str) -> Part:
        """Put a part with its checksum in base64.

        Raises:
            TransientError: the service has received something else.
        """
        answer = self._service.call(
            "upload_part", key, UploadId=upload, PartNumber=number, Body=content, **self._checksum.sent(value)
        )
        checksum = answer.get(self._checksum.name) if self._checksum.name else None
        if checksum not in (None, value):
            raise TransientError(f"{key}: part {number} was damaged on its way: {value} was sent, {checksum} received")
        return Part(bytes=len(content), etag=_etag(answer), checksum=checksum)

    def copy_part(self, key: str, upload: str, number: int, source: dict[str, str], version: str, span: str) -> Part:
        """Copy a range of another object as a part.

        Raises:
            SourceChangedError: the source is of another version.
        """
        try:
            answer = self._service.call(
                "upload_part_copy",
                key,
                UploadId=upload,
                PartNumber=number,
                CopySource=source,
                CopySourceIfMatch=f'"{version}"',
                CopySourceRange=span,
            )["CopyPartResult"]
        except (AbsentError, PreconditionError) as error:
            raise SourceChangedError(f"{source['Key']}: the file changed while it was copied") from error
        return Part(bytes=0, etag=_etag(answer), checksum=answer.get(self._checksum.name or "-"))

    def complete(self, key: str, upload: str, parts: dict[int, Part], *, whole: str | None, exclusive: bool) -> str:
        """Let the object of these parts appear, and give its version.

        Raises:
            PreconditionError: something has that key, and ``exclusive`` was asked for.
            UploadGoneError: there is no such upload any more.
        """
        listed = [
            {"PartNumber": number, "ETag": f'"{part.etag}"'}
            | ({self._checksum.name: part.checksum} if part.checksum else {})
            for number, part in sorted(parts.items())
        ]
        arguments = {self._checksum.name: whole, "ChecksumType": "FULL_OBJECT"} if whole else {}
        answer = self._service.call(
            "complete_multipart_upload",
            key,
            UploadId=upload,
            MultipartUpload={"Parts": listed},
            **arguments,
            **condition(exclusive),
        )
        return _etag(answer)

    def abort(self, key: str, upload: str) -> None:
        """There is no such upload, and none of its parts."""
        self._service.call("abort_multipart_upload", key, UploadId=upload)


def condition(exclusive: bool) -> dict[str, str]:
    """Give the arguments of a call that is to put something only where there is nothing."""
    return {"IfNoneMatch": "*"} if exclusive else {}


def _etag(answer: Mapping[str, Any]) -> str:
    """Give the ETag of an answer, without quotation marks; "" where there is none."""
    return str(answer.get("ETag") or "").strip('"')
