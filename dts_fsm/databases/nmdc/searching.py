"""What a search at NMDC means: words, NMDC's own parameters, and filters in its two languages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import attrs

from dts_fsm.databases.nmdc.api import MOST_WRITTEN_CHARACTERS, Record, written_length
from dts_fsm.errors import InvalidSearchParameterError
from dts_fsm.records import SearchParameters
from dts_fsm.records.checks import shown

PARAMETERS = ("study_id", "sample_id", "data_object_id", "activity_id", "data_object_type", "filter")
"""The names of DTS, and ``data_object_type``. Its ``sort``, ``fields`` and ``extra`` have no meaning here."""

_SEARCHED = ("id", "name", "description", "data_object_type")
_EQUAL = {"data_object_id": "id", "activity_id": "was_generated_by", "data_object_type": "data_object_type"}
_CURIE = re.compile(r"[A-Za-z][A-Za-z0-9_]*:[A-Za-z0-9_][A-Za-z0-9_.-]*")
_COMPARISONS = {"<=": "$lte", ">=": "$gte", "<": "$lt", ">": "$gt"}
_CODE = frozenset({"$where", "$function", "$accumulator"})
"""What would let NMDC's database run a program of the user's. Source: MongoDB manual, query operators."""


@attrs.frozen(kw_only=True)
class Search:
    """A search, ready to be asked.

    Attributes:
        study_id, sample_id: the data objects of this study, or biosample, alone; "" for all.
        wanted: what data objects must meet, in MongoDB's language; {} for all.
    """

    study_id: str
    sample_id: str
    wanted: Record

    @classmethod
    def parse(cls, parameters: SearchParameters, *, database: str) -> Search:
        """Give the search of these parameters; each word must occur, without regard to case, in a data object.

        Raises:
            InvalidSearchParameterError: there is no such parameter, it has a wrong value, or all of it is too long.
        """
        said = dict(parameters.specific)
        for name in said:
            if name not in PARAMETERS:
                raise InvalidSearchParameterError(
                    database, f"there is no parameter {shown(name)}; known are: {', '.join(PARAMETERS)}"
                )
        for name, value in said.items():
            if not isinstance(value, str) and not (name == "filter" and isinstance(value, Mapping)):
                raise InvalidSearchParameterError(database, f"{name} must be text, not {shown(value)}")
        for name in ("study_id", "sample_id"):
            if said.get(name) and not _CURIE.fullmatch(said[name]):
                raise InvalidSearchParameterError(
                    database, f"{name} must be an id such as 'nmdc:sty-11-r2h77870', not {shown(said[name])}"
                )
        conditions = [_word(word) for word in parameters.query.split()]
        conditions += [{slot: said[name]} for name, slot in _EQUAL.items() if said.get(name)]
        if said.get("filter"):
            conditions.append(_filter(said["filter"], database))
        wanted = conditions[0] if len(conditions) == 1 else {"$and": conditions} if conditions else {}
        if written_length(wanted) > MOST_WRITTEN_CHARACTERS:
            raise InvalidSearchParameterError(database, "query and parameters together are too long: use fewer words")
        return cls(study_id=said.get("study_id", ""), sample_id=said.get("sample_id", ""), wanted=wanted)


def _word(word: str) -> Record:
    return {"$or": [{slot: {"$regex": re.escape(word), "$options": "i"}} for slot in _SEARCHED]}


def _filter(value: str | Mapping[str, Any], database: str) -> Record:
    """The filter in MongoDB's language; it is given in that, or in the form of NMDC's ``find`` requests."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        return _terms(value, database)
    try:
        wanted = json.loads(value if isinstance(value, str) else json.dumps(value))
        codes = sorted(_keys(wanted) & _CODE)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidSearchParameterError(database, f"filter is not a JSON object: {error}") from error
    if codes:
        raise InvalidSearchParameterError(database, f"filter may not have {', '.join(codes)}: they run programs")
    found: Record = wanted
    return found


def _terms(text: str, database: str) -> Record:
    """The filter of "name:value,file_size_bytes:>1000,description.search:soil".

    Source: https://api.microbiomedata.org/docs, ``GET /data_objects``, filter.
    """
    conditions: list[dict[str, Any]] = []
    for pair in text.split(","):
        slot, colon, wanted = pair.strip().partition(":")
        if not colon or not slot or slot.startswith("$"):
            raise InvalidSearchParameterError(
                database, f"filter must be 'slot:value[,slot:value…]' or a JSON object, and {shown(pair)} is neither"
            )
        sign = next((sign for sign in _COMPARISONS if wanted.startswith(sign)), "")
        if slot.endswith(".search"):
            conditions.append({slot.removesuffix(".search"): {"$regex": wanted}})
        elif sign:
            conditions.append({slot: {_COMPARISONS[sign]: _number(wanted.removeprefix(sign))}})
        else:
            conditions.append({slot: wanted})
    return {"$and": conditions}


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if number - number == 0 else text  # JSON has no infinity


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_keys(inner) for inner in value.values()))
    return set().union(*(_keys(inner) for inner in value)) if isinstance(value, list) else set()
