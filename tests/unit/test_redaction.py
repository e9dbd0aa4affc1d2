"""Secrets are taken out of texts and errors, in every form in which they may stand there."""

from __future__ import annotations

import base64
import json
import traceback
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.config import Redactor, Secret
from dts_fsm.errors import ConfigurationError, ResourcesNotFoundError, UnauthorizedError

SECRET = "s3cr\u00e9t/+ &'\"\\x"


def everything_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error.args) + repr(vars(error)) + repr(error.__context__)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        "s3cr%c3%a9t%2f%2b%20%26%27%22%5cx",
        json.dumps(SECRET),
        repr(SECRET),
        repr(SECRET.encode()),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(f"user:{SECRET}".encode()).decode(),
    ],
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    masked = Redactor(Secret(SECRET))(f"before {form} after")
    assert form not in masked
    assert (masked[:7], masked[-6:], "***" in masked) == ("before ", " after", True)


# A secret that repeats itself may be found one place earlier, among what stands beside it.
WITHOUT_REPETITION = st.lists(st.sampled_from("abcdefghijklm0123456"), min_size=8, unique=True).map("".join)


@given(before=st.binary(max_size=5), after=st.binary(max_size=5), secret=WITHOUT_REPETITION)
def test_a_secret_within_something_in_base64_is_masked(before: bytes, after: bytes, secret: str) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    masked = Redactor(Secret(secret))(encoded)
    # the characters at the ends hold bits of what is beside it
    assert masked.count("***") == 1
    left = -(-len(before) * 8 // 6)
    assert masked.index("***") == left
    assert len(masked) - 3 - left <= len(encoded) - left - (len(secret) * 8 // 6 - 1)


def test_without_secrets_nothing_changes() -> None:
    redact = Redactor({"key": "text", "more": [1, None]})
    error = KeyError("text")
    assert bool(redact) is False
    assert redact("text 1 None") == "text 1 None"
    assert redact.error(error) is error


def test_a_short_secret_is_masked_as_it_is_and_not_in_forms_that_stand_anywhere() -> None:
    redact = Redactor(Secret("ab"))
    assert redact("ab YWI= a b") == "*** YWI= a b"


@pytest.mark.parametrize("records", [(("x", {"y": Secret(SECRET)}),), ({Secret(SECRET)},), ([[Secret(SECRET)]],)])
def test_secrets_are_found_in_every_collection(records: Any) -> None:
    assert Redactor(*records)(SECRET) == "***"


def test_an_error_without_secrets_is_itself() -> None:
    error = KeyError("x")
    assert Redactor(Secret(SECRET)).error(error) is error


@pytest.mark.parametrize(
    "error",
    [
        UnauthorizedError(f"{SECRET} is wrong"),
        ResourcesNotFoundError("db", ["a", SECRET]),
        ConfigurationError(SECRET, key=SECRET),
        KeyError(SECRET),
    ],
)
def test_an_error_keeps_its_class_and_loses_its_secrets(error: Exception) -> None:
    masked = Redactor(Secret(SECRET)).error(error)
    assert type(masked) is type(error)
    assert "***" in str(masked)
    assert SECRET not in everything_of(masked)
    assert repr(SECRET)[1:-1] not in everything_of(masked)


def test_the_attributes_of_an_error_are_kept() -> None:
    masked = Redactor(Secret(SECRET)).error(ResourcesNotFoundError("db", ["a", f"b {SECRET}"]))
    assert isinstance(masked, ResourcesNotFoundError)
    assert list(masked.resource_ids) == ["a", "b ***"]


class StubbornError(Exception):
    """Says its secret whatever is done to its attributes."""

    def __str__(self) -> str:
        return f"I know {SECRET}"


class SilentError(Exception):
    """Cannot say anything."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "error",
    [
        StubbornError(),
        UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
        ExceptionGroup(SECRET, [KeyError(SECRET)]),
    ],
)
def test_an_error_that_cannot_be_masked_is_replaced(error: Exception) -> None:
    masked = Redactor(Secret(SECRET)).error(error)
    assert type(error).__name__ in str(masked)
    assert SECRET not in everything_of(masked)


def test_an_error_that_cannot_say_anything_says_nothing_of_secrets() -> None:
    assert SECRET not in everything_of(Redactor(Secret(SECRET)).error(SilentError(SECRET)))


def failing() -> None:
    try:
        int(SECRET)
    except ValueError as cause:
        raise UnauthorizedError("no") from cause


def test_causes_that_know_a_secret_are_left_out_and_the_traceback_stays() -> None:
    with pytest.raises(UnauthorizedError) as raised:
        failing()
    masked = Redactor(Secret(SECRET)).error(raised.value)
    assert SECRET not in everything_of(masked)
    assert (str(masked), masked.__cause__) == ("no", None)
    assert masked.__traceback__ is not None
