"""The colours of pictures, light and dark. Colour is never the only sign: what was walked is ticked, too."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen(kw_only=True)
class Palette:
    """Colours as CSS writes them; every text has a contrast of at least 4.5 to what is behind it (WCAG 2.2, 1.4.3).

    Attributes:
        paper, ink, line: of the page, of texts, and of what is drawn in lines.
        state, walked, current: behind the states.
        path: of arrows that were taken.
        heats: behind states, and for arrows the same in ``heat_lines``; from the weakest to the strongest.
    """

    paper: str
    ink: str
    line: str
    state: str
    walked: str
    current: str
    path: str
    heats: tuple[str, ...]
    heat_lines: tuple[str, ...]


PALETTES: dict[Literal["light", "dark"], Palette] = {
    "light": Palette(
        paper="#ffffff",
        ink="#1f2328",
        line="#59636e",
        state="#ffffff",
        walked="#d7ecd9",
        current="#ffe08a",
        path="#1b7837",
        heats=("#fff4e5", "#ffe3c2", "#ffcc94", "#ffb169", "#ff9440"),
        heat_lines=("#a0692e", "#9c5a1c", "#98500f", "#8f4606", "#803c00"),
    ),
    "dark": Palette(
        paper="#0d1117",
        ink="#e6edf3",
        line="#9198a1",
        state="#161b22",
        walked="#12391f",
        current="#5c4300",
        path="#56d364",
        heats=("#2b2118", "#3d2a17", "#523413", "#6a3f0d", "#834a04"),
        heat_lines=("#b98a5c", "#cf965a", "#e3a257", "#f2ad55", "#ffb84d"),
    ),
}


def named(theme: str) -> Palette:
    """Give the palette of a theme; "auto" is light."""
    return PALETTES["dark" if theme == "dark" else "light"]
