"""Whether a service does what the guide says: one check a sentence, each by the service's own answers.

Nothing is changed at the service unless staging is asked for.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import attrs

from dts_fsm.databases.http.dialect import Dialect
from dts_fsm.databases.http.service import text_of, uuid_of
from dts_fsm.databases.users import user_fault
from dts_fsm.errors import DtsError
from dts_fsm.records import Descriptor, StagingStatus
from dts_fsm.records.checks import shown
from dts_fsm.serialization import descriptor_from_resource
from dts_fsm.web import Answer, HttpClient

_ALL = range(400, 600)
_FEW = 10
_PAUSE_S = 0.2


class Verdict(enum.StrEnum):
    """What came of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@attrs.frozen(kw_only=True)
class Finding:
    """A check, and what came of it.

    Attributes:
        name: of the check.
        says: what the guide says.
        verdict: what came of it.
        reason: what the service did instead, or why it was not checked; "" where it passed.
    """

    name: str
    says: str
    verdict: Verdict
    reason: str = ""


class _FailedError(Exception):
    """The service did something else than the guide says."""


class _NotCheckedError(Exception):
    """The service gave no occasion."""


@attrs.define
class Probe:
    """Asks a service, and remembers what it has.

    Attributes:
        client: asks it; it makes no difference between answers and refusals here.
        dialect: its words.
        orcid: of a user whom it knows, or "".
        stage: whether files may be staged.
        timeout_s: how long staging may take.
    """

    client: HttpClient
    dialect: Dialect
    orcid: str = ""
    stage: bool = False
    timeout_s: float = 60.0
    _found: list[Descriptor] | None = None

    def get(self, call: str, **params: Any) -> Answer:
        """Give whatever the service answers to a call, with parameters by our names."""
        path = self.dialect.paths[call]
        return self.client.request("GET", path, params=self.named(params), accept=_ALL)

    def named(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Give parameters under the service's names, and who asks."""
        given = {**params, **({"orcid": self.orcid} if self.orcid else {})}
        return {self.dialect.fields.get(name, name): value for name, value in given.items()}

    def listed(self, answer: Answer) -> list[Any]:
        """Give the list of resources that an answer has."""
        _expect(answer, 200)
        value = answer.json()
        if isinstance(value, dict):
            value = value.get(self.dialect.fields["resources"])
        if not isinstance(value, list):
            raise _FailedError(f"answers with {shown(value)} instead of a list")
        return value

    def search(self, **params: Any) -> list[Descriptor]:
        """Give what a search finds."""
        return [self.described(given) for given in self.listed(self.get("search", **params))]

    def described(self, given: Any) -> Descriptor:
        """Give the descriptor of a resource."""
        if not isinstance(given, dict):
            raise _FailedError(f"describes a file as {shown(given)}")
        try:
            return descriptor_from_resource(self.dialect.resource(given))
        except DtsError as error:
            raise _FailedError(str(error)) from error

    def few(self) -> list[Descriptor]:
        """Give some files that a search finds, to ask about."""
        if self._found is None:
            self._found = [found for found in self.search(limit=_FEW, offset=0) if not found.inline][:_FEW]
        if not self._found:
            raise _NotCheckedError("a search finds no files")
        return self._found

    def by_ids(self, ids: Sequence[str]) -> list[Any]:
        """Give what the service answers for these ids."""
        separator = self.dialect.ids_separator
        return self.listed(self.get("resources", ids=separator.join(ids) if separator else list(ids)))


def _expect(answer: Answer, *statuses: int) -> None:
    if answer.status not in statuses:
        said = " ".join(answer.body.decode("utf-8", "replace").split())[:120]
        wanted = " or ".join(map(str, statuses))
        raise _FailedError(f"answers {answer.status} instead of {wanted}" + (f": {said}" if said else ""))


def _same(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise _FailedError(f"{what}: {shown(found)} instead of {shown(expected)}")


# The checks, in their order; their docstrings are what the guide says


def search_finds(probe: Probe) -> None:
    """A search without a query finds files, as a list of resources, each id once."""
    ids = [found.id for found in probe.search(limit=_FEW, offset=0)]
    _same(sorted(set(ids)), sorted(ids), "ids are there twice")


def limit(probe: Probe) -> None:
    """``limit`` is the most that a search finds."""
    probe.few()
    _same(len(probe.search(limit=1, offset=0)), 1, "with limit=1 the number of resources is")


def pages(probe: Probe) -> None:
    """Pages by ``offset`` and ``limit`` are together the whole, in one order, without gaps or repetitions."""
    whole = [found.id for found in probe.search(limit=_FEW, offset=0)]
    paged: list[str] = []
    for _ in whole:
        paged += [found.id for found in probe.search(limit=2, offset=len(paged))]
        if len(paged) >= len(whole):
            break
    _same(paged[: len(whole)], whole, "pages of 2 give")


def beyond(probe: Probe) -> None:
    """Beyond the last result there is an empty list, and no error."""
    _same(probe.search(limit=1, offset=2**31 - 1), [], "far beyond the end there is")


def bad_limit(probe: Probe) -> None:
    """A limit that is no number is answered with 400."""
    _expect(probe.get("search", limit="many", offset=0), 400)


def statuses(probe: Probe) -> None:
    """``status`` restricts a search to staged files, or to those that are not."""
    ids = {found.id for found in probe.few()}
    found = {
        status: {one.id for one in probe.search(limit=_FEW, offset=0, status=probe.dialect.words[status][0])}
        for status in ("staged", "unstaged")
    }
    _same(found["staged"] & found["unstaged"], set(), "files are both staged and unstaged")
    if len(ids) < _FEW:
        _same(found["staged"] | found["unstaged"], ids, "staged and unstaged files together are")


def resources(probe: Probe) -> None:
    """Resources are described in the order in which their ids are asked for, as a search describes them."""
    few = probe.few()[::-1]
    described = [probe.described(given) for given in probe.by_ids([found.id for found in few])]
    _same(described[: len(few)], few, "asked for by their ids they are")


def unknown_ids(probe: Probe) -> None:
    """An id that the service does not know is a null at its place."""
    known, unknown = probe.few()[0], f"unknown-{uuid4().hex}"
    answered = probe.by_ids([unknown, known.id])
    _same(answered[:1], [None], "in the place of an unknown id there is")
    _same(probe.described([*answered, None][1]).id, known.id, "after it there is")


def no_ids(probe: Probe) -> None:
    """Without ids, resources are answered with 400."""
    _expect(probe.get("resources"), 400)


def local_user(probe: Probe) -> None:
    """A user whom the service knows has a local name, which can be that of a folder."""
    if not probe.orcid:
        raise _NotCheckedError("give the ORCID of a user whom the service knows: --orcid")
    answer = probe.client.request("GET", probe.dialect.user_path(probe.orcid), accept=_ALL)
    _expect(answer, 200)
    value, fields = answer.json(), probe.dialect.fields
    user = value if isinstance(value, dict) else {}
    _same(user.get(fields["orcid"]), probe.orcid, "the ORCID of the answer is")
    if fault := user_fault(user.get(fields["username"])):
        raise _FailedError(fault)


def stranger(probe: Probe) -> None:
    """A user whom the service does not know is answered with 404."""
    _expect(probe.client.request("GET", probe.dialect.user_path("0000-0000-0000-0000"), accept=_ALL), 404)


def unknown_request(probe: Probe) -> None:
    """A staging request that was never made is answered with 404."""
    _expect(probe.get("staging", staging_id=str(uuid4())), 404)


def bad_staging(probe: Probe) -> None:
    """A staging request without ids is answered with 400."""
    answer = probe.client.request(
        "POST", probe.dialect.paths["staging"], params=probe.named({}), json_body={}, accept=_ALL
    )
    _expect(answer, 400)


def staging(probe: Probe) -> None:
    """A staging request is answered with 201 and its id, and ends with its files staged."""
    if not probe.stage:
        raise _NotCheckedError("it would have files staged: allow it with --stage")
    ids = [found.id for found in probe.few()[:1]]
    answer = probe.client.request(
        "POST",
        probe.dialect.paths["staging"],
        params=probe.named({}),
        json_body={probe.dialect.fields["ids"]: ids},
        headers={"Idempotency-Key": str(uuid4())},
        accept=_ALL,
    )
    _expect(answer, 201)
    value = answer.json()
    given = value.get(probe.dialect.fields["request_id"]) if isinstance(value, dict) else None
    request_id = uuid_of(given)
    if request_id is None:
        raise _FailedError(f"the request's id is {shown(given)}, neither a UUID nor a number")
    ended = _end_of(probe, request_id)
    _same(ended, StagingStatus.SUCCEEDED, "the request has ended as")


def _end_of(probe: Probe, request_id: UUID) -> StagingStatus:
    deadline = time.monotonic() + probe.timeout_s
    while True:
        answer = probe.get("staging", staging_id=text_of(request_id))
        _expect(answer, 200)
        value = answer.json()
        word = value.get(probe.dialect.fields["staging_status"]) if isinstance(value, dict) else None
        status = probe.dialect.status(word)
        if status is None:
            raise _FailedError(f"the request's status is {shown(word)}, a word that is not configured")
        if status is not StagingStatus.ACTIVE:
            return status
        if time.monotonic() > deadline:
            raise _NotCheckedError(f"it has not ended within {probe.timeout_s:g} s: allow more with --timeout")
        time.sleep(_PAUSE_S)


CHECKS: tuple[Callable[[Probe], None], ...] = (
    search_finds,
    limit,
    pages,
    beyond,
    bad_limit,
    statuses,
    resources,
    unknown_ids,
    no_ids,
    local_user,
    stranger,
    unknown_request,
    bad_staging,
    staging,
)


def examined(probe: Probe) -> list[Finding]:
    """Give what came of each check; one that fails keeps no other from being made."""
    return [_finding(check, probe) for check in CHECKS]


def _finding(check: Callable[[Probe], None], probe: Probe) -> Finding:
    verdict, reason = Verdict.PASSED, ""
    try:
        check(probe)
    except _NotCheckedError as error:
        verdict, reason = Verdict.NOT_CHECKED, str(error)
    except (_FailedError, DtsError) as error:
        verdict, reason = Verdict.FAILED, str(error)
    says = (check.__doc__ or "").replace("``", "").strip()
    return Finding(name=check.__name__.replace("_", " "), says=says, verdict=verdict, reason=reason)
