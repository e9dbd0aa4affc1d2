"""What a KBase database must do, wherever its service is: subclasses give the fixture ``site``, and nothing else."""

from __future__ import annotations

import attrs
import pytest

from dts_fsm.config import Secret
from dts_fsm.databases.kbase import KBaseDatabase
from dts_fsm.errors import UnauthorizedError
from dts_fsm.records.checks import is_orcid, path_fault


@attrs.frozen(kw_only=True)
class KBaseSite:
    """A database, and somebody whom KBase knows.

    Attributes:
        token: of a user who has linked an ORCID.
        username: the user's name at KBase.
    """

    database: KBaseDatabase
    token: Secret
    username: str


class KBaseCases:
    @pytest.fixture
    def site(self) -> KBaseSite:
        raise NotImplementedError("override the fixture 'site'")

    def test_a_token_tells_its_user_who_has_an_orcid(self, site: KBaseSite) -> None:
        found = site.database.user(site.token)
        assert found.username == site.username
        assert is_orcid(found.user.orcid)
        assert found.user.name

    def test_the_same_token_tells_the_same_user(self, site: KBaseSite) -> None:
        assert site.database.user(site.token) == site.database.user(site.token)

    def test_the_user_of_a_token_is_the_local_user_of_their_orcid(self, site: KBaseSite) -> None:
        found = site.database.user(site.token)
        user = site.database.local_user(found.user.orcid)
        assert (user, path_fault(user)) == (site.username, None)

    def test_a_token_that_nobody_has_is_refused_and_not_shown(self, site: KBaseSite) -> None:
        with pytest.raises(UnauthorizedError) as caught:
            site.database.user(Secret("NOBODYHASTHISTOKEN0000"))
        assert "NOBODYHASTHISTOKEN0000" not in str(caught.value)
