"""Text that must not be seen."""

from __future__ import annotations

import hmac

from dts_fsm.errors import ConfigurationError


class Secret:
    """Text that only ``reveal`` shows: ``str``, ``repr``, formatting and ``attrs.asdict`` do not.

    Raises:
        ConfigurationError: it is made of something else than text.
    """

    # Not an attrs class on purpose: attrs.asdict and cattrs would walk into it.
    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise ConfigurationError(f"a secret must be text, not {type(text).__name__}")
        self.__text = text

    def reveal(self) -> str:
        """The text itself; hand it to the provider's client at once, and keep it nowhere."""
        return self.__text

    def __eq__(self, other: object) -> bool:
        """True for a secret with the same text; takes the same time wherever they differ."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes(), other._bytes())

    def _bytes(self) -> bytes:
        return self.__text.encode("utf-8", "surrogatepass")

    def __hash__(self) -> int:
        """Equal for equal secrets."""
        return hash((Secret, self.__text))

    def __repr__(self) -> str:
        """The same for every secret, its length included."""
        return "Secret('***')"

    def __str__(self) -> str:
        """The same for every secret."""
        return "***"
