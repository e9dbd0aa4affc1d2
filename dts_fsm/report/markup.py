"""HTML from texts that come from anywhere: what is not marked as HTML is escaped."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Sequence

from dts_fsm.statechart.texts import short

MAX_CELL = 160
"""Characters of a text in a table; the whole of it is shown when one points at it, and is in the store."""

_MAX_TITLE, _MAX_WHOLE = 2000, 40


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """The value as HTML, with whatever is not printable made visible."""
    return value if isinstance(value, Html) else Html(html.escape(short(value, sys.maxsize)))


def cut(value: object) -> Html:
    """The value as HTML that is not too long; where it is cut, the rest is shown when one points at it."""
    if isinstance(value, Html) or len(text := str(value)) <= MAX_CELL:
        return escaped(value)
    return Html(f'<span title="{html.escape(short(text, _MAX_TITLE))}">{html.escape(short(text, MAX_CELL))}</span>')


def element(tag: str, content: object, **attributes: str) -> Html:
    """The element with its content; an attribute's underscores are hyphens, those at its end are dropped."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for name, value in attributes.items()
    )
    return Html(f"<{tag}{named}>{escaped(content)}</{tag}>")


def joined(parts: Iterable[object]) -> Html:
    """The parts, one after the other."""
    return Html("\n".join(escaped(part) for part in parts))


def wide(content: Html) -> Html:
    """What may be wider than the page: it can be scrolled."""
    return element("div", content, class_="wide")


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = (), stacked: bool = False
) -> Html:
    """The rows below their columns' names, or a word where there are none.

    Args:
        numbers: the columns that are right-aligned.
        stacked: where there is little room, a row's cells stand below one another.
    """
    looks = ["number" if name in numbers else "text" for name in columns]
    head = [element("th", name, scope="col", class_=look) for name, look in zip(columns, looks, strict=True)]
    body = [
        element(
            "tr",
            joined(element("td", cut(cell), class_=_look(cell, look)) for cell, look in zip(row, looks, strict=True)),
        )
        for row in rows
    ]
    if not body:
        return element("p", "None.", class_="none")
    parts = joined([element("thead", element("tr", joined(head))), element("tbody", joined(body))])
    return wide(element("table", parts, class_="stacked" if stacked else "plain"))


def _look(cell: object, look: str) -> str:
    """The class of a cell: what is longer than a few words may be broken anywhere."""
    return "long" if not isinstance(cell, Html) and len(str(cell)) > _MAX_WHOLE else look


def folded(summary: str, content: Html) -> Html:
    """The content, shown when one opens its summary; on paper it is not."""
    return element("details", joined([element("summary", summary), content]))


def section(title: str, name: str, *content: object) -> Html:
    """A section of the page."""
    return element("section", joined([element("h2", title), *content]), id=name)


def paragraph(*sentences: object) -> Html:
    """A paragraph."""
    return element("p", Html(" ".join(escaped(sentence) for sentence in sentences)))
