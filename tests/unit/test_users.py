"""The map from ORCIDs to local users: CSV and JSON files, and everything that can be wrong with them."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.databases.users import UserMap, parse_users
from dts_fsm.errors import InvalidDatabaseConfigError, InvalidOrcidError
from dts_fsm.records.checks import path_fault

ADA, GRACE = "0000-0002-1825-0097", "0000-0002-1694-233X"


def _csv(text: str) -> dict[str, str]:
    return dict(parse_users(Path("users.csv"), text.encode()))


def _json(value: object) -> dict[str, str]:
    return dict(parse_users(Path("users.json"), json.dumps(value).encode()))


@pytest.mark.parametrize(
    "text",
    [
        f"{ADA},ada\n{GRACE},grace\n",
        f"orcid,user\n{ADA},ada\n{GRACE},grace",
        f"Username, ORCID\r\nada, {ADA}\r\ngrace, {GRACE}\r\n",
        f"\ufeff# people\n\nname,orcid,user\nAda L.,{ADA},ada\n  \n'G',{GRACE}, grace \n",
        f'"{ADA}","ada"\r"{GRACE}","grace"\r',
    ],
)
def test_a_csv_file_has_a_line_for_each_user_with_or_without_a_header(text: str) -> None:
    assert _csv(text) == {ADA: "ada", GRACE: "grace"}


@pytest.mark.parametrize(
    "value",
    [
        {ADA: "ada", GRACE: "grace"},
        [{"orcid": ADA, "username": "ada"}, {"orcid": GRACE, "user": "grace", "email": "g@example.org"}],
    ],
)
def test_a_json_file_is_an_object_or_a_list_of_objects(value: object) -> None:
    assert _json(value) == {ADA: "ada", GRACE: "grace"}


@pytest.mark.parametrize(
    "user", ["", "  ", ".", "..", "a/b", "../x", "a\\b", "a\nb", "a\x00", "a\x7f", " ada", "ada ", "a" * 256]
)
def test_a_local_user_that_cannot_be_one_folder_is_refused(user: str) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match="the local user") as caught:
        _json({ADA: user})
    assert (caught.value.file, caught.value.key) == ("users.json", repr(ADA))


@pytest.mark.parametrize("user", [None, 1, ["ada"], {"username": "ada"}, "\ud800"])
def test_a_local_user_that_is_no_text_is_refused(user: object) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match="the local user"):
        _json({ADA: user})


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{ADA},ada\n{ADA},eve\n", 2, "twice"),
        (f"# x\n\n{ADA}\n", 3, "needs an ORCID and a user"),
        (f"orcid,name\n{ADA},ada\n", 1, "no column 'user'"),
        ("0000-0002,ada\n", 1, "not an ORCID"),
        (f"{ADA},..\n", 1, "cannot be the name of a folder"),
        (f'{ADA},"ada\n', 1, "not CSV"),
    ],
)
def test_a_fault_in_a_csv_file_is_named_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match=message) as caught:
        _csv(text)
    assert ("users.csv", line) == (caught.value.file, caught.value.line)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1", "must be an object"),
        (b"[1]", "must be an object with orcid"),
        (b'[{"orcid": 1, "user": "ada"}]', "not an ORCID"),
        (b'{"x": "ada"}', "not an ORCID"),
        (f'{{"{ADA}": "ada", "{ADA}": "eve"}}'.encode(), "twice"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_fault_in_a_json_file_is_said(content: bytes, message: str) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match=message):
        parse_users(Path("users.json"), content)


@given(st.dictionaries(st.sampled_from([ADA, GRACE]), st.text(max_size=20)), st.booleans())
def test_whatever_user_is_accepted_is_the_name_of_one_folder(users: dict[str, str], as_list: bool) -> None:
    value = [{"orcid": orcid, "user": user} for orcid, user in users.items()] if as_list else users
    try:
        accepted = _json(value)
    except InvalidDatabaseConfigError:
        return
    assert users == accepted
    assert [user for user in users.values() if path_fault(user) or "/" in user] == []


@given(st.binary(max_size=200), st.sampled_from(["users.csv", "users.json"]))
def test_any_content_gives_users_or_one_kind_of_error(content: bytes, name: str) -> None:
    with suppress(InvalidDatabaseConfigError):
        assert isinstance(parse_users(Path(name), content), dict)


def test_without_a_file_an_orcid_is_its_own_local_user(tmp_path: Path) -> None:
    users = UserMap([tmp_path / "users.json", tmp_path / "users.csv"])
    assert users.local_user(ADA) == ADA


@pytest.mark.parametrize("orcid", ["", "ada", "../..", f"{ADA}/..", f"{ADA}\n", "0000-0002-1825-00971"])
def test_a_malformed_orcid_is_refused_even_without_a_file(orcid: str) -> None:
    with pytest.raises(InvalidOrcidError, match="form dddd"):
        UserMap().local_user(orcid)


def test_the_first_of_the_files_counts_and_names_itself_to_strangers(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text(json.dumps({ADA: "ada"}), encoding="utf-8")
    (tmp_path / "users.csv").write_text(f"{GRACE},grace", encoding="utf-8")
    users = UserMap([tmp_path / "users.json", tmp_path / "users.csv"])
    assert users.local_user(ADA) == "ada"
    with pytest.raises(InvalidOrcidError, match=r"users\.json"):
        users.local_user(GRACE)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text(f"{ADA},ada", encoding="utf-8")
    users = UserMap([file])
    assert users.local_user(ADA) == "ada"
    file.write_text(f"{ADA},lovelace", encoding="utf-8")
    assert users.local_user(ADA) == "lovelace"
    file.unlink()
    assert users.local_user(ADA) == ADA


def test_a_file_that_is_required_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match="does not exist"):
        UserMap([tmp_path / "users.csv"], required=True).local_user(ADA)


def test_a_folder_or_fifo_in_the_place_of_the_file_is_refused_without_blocking(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "fifo.csv")
    for name in ("folder.csv", "fifo.csv"):
        with pytest.raises(InvalidDatabaseConfigError, match="not a regular file"):
            UserMap([tmp_path / name]).local_user(ADA)


def test_a_users_file_that_is_a_link_out_of_the_root_is_refused_and_one_outside_may_be_named(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "users.csv"
    root.mkdir()
    outside.write_text(f"{ADA},ada", encoding="utf-8")
    (root / "users.csv").symlink_to("../users.csv")
    with pytest.raises(InvalidDatabaseConfigError, match="symbolic link that leads outside"):
        UserMap([root / "users.json", root / "users.csv"], root=root).local_user(ADA)
    assert UserMap([outside], required=True, root=root).local_user(ADA) == "ada"
