"""Charts as SVG, laid out by Graphviz's ``dot`` and coloured by a style sheet: one picture for light and dark pages.

A picture can stand in a page of HTML beside others: all of its ids begin with its own, and its style sheet speaks of
nothing else. It has no scripts, no links and nothing to load.
"""

from __future__ import annotations

import hashlib
import html
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.drawing.dot import dot
from dts_fsm.statechart.drawing.palette import PALETTES, Palette
from dts_fsm.statechart.drawing.picture import Picture, Theme

LAYOUT_TIMEOUT_S = 30.0
"""A chart of a hundred states needs less than a second."""

_FALLBACK = "graphviz-pure"
"""A port of Graphviz that pip installs: docs/adr/0012-diagrams.md."""

_SVG = re.compile(r'<svg width="(?P<width>[\d.]+)pt" height="(?P<height>[\d.]+)pt"\s+viewBox="(?P<box>[-\d. ]+)"[^>]*>')
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_TITLE = re.compile(r"<title>.*?</title>\s*", re.DOTALL)
_COLOUR = re.compile(r' (?:fill|stroke)="(?:#[0-9a-f]{6}|black)"')
_FONT = re.compile(r' font-family="[^"]*"')
_DIGEST = re.compile(r"<!-- made from ([0-9a-f]{64}) -->")
_BESIDE_ARROWS = {"font-size": "9px", "paint-order": "stroke", "stroke-width": "3px"}
_FAMILY = "Helvetica, Arial, 'Liberation Sans', sans-serif"


def svg(picture: Picture, *, theme: Theme = "auto", prefix: str = "chart") -> str:
    """Give the picture as an ``<svg>`` element, ending in a line break; the theme "auto" follows the reader's.

    Args:
        prefix: begins its ids; another one for each picture of a page. Letters, digits and hyphens.

    Raises:
        StatechartError: Graphviz is not installed, it failed, or took longer than ``LAYOUT_TIMEOUT_S``.
        ValueError: a prefix with other characters.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", prefix):
        raise ValueError(f"{prefix!r} is no prefix of ids: letters, digits and hyphens")
    source = dot(picture)
    drawn = _COMMENT.sub("", _laid_out(source))
    found = _SVG.search(drawn)
    if found is None:
        raise StatechartError("Graphviz's dot answered with something that is not the SVG that it is known to write")
    body = drawn[found.end() :]
    for pattern in (_TITLE, _COLOUR, _FONT):
        body = pattern.sub("", body)
    body = body.replace(' id="', f' id="{prefix}-')
    described = html.escape(f"{picture.description} {' '.join(picture.caption)}".strip())
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{prefix}" viewBox="{found["box"]}" role="img" '
        f'width="{_pixels(found["width"])}" height="{_pixels(found["height"])}" '
        f'aria-labelledby="{prefix}-title {prefix}-desc">',
        f"<!-- made from {digest(picture)} -->",
        f'<title id="{prefix}-title">The statechart {html.escape(picture.title)}</title>',
        f'<desc id="{prefix}-desc">{described}</desc>',
        f"<style>{_sheet(prefix, theme)}</style>",
    ]
    return "\n".join(head) + body.rstrip() + "\n"


def digest(picture: Picture) -> str:
    """Give 64 hexadecimal digits, equal for pictures that look alike; ``digest_of`` finds them in an SVG.

    Graphviz lays the same text out in another way with each version and set of fonts: so the text it was made from
    tells whether a picture is current.
    """
    return hashlib.sha256((dot(picture) + _sheet("", "auto")).encode()).hexdigest()


def digest_of(drawn: str) -> str | None:
    """Give the digest of the picture that an SVG was made from, or None."""
    found = _DIGEST.search(drawn)
    return found and found[1]


def _laid_out(source: str) -> str:
    program = _program()
    if program is None:
        raise StatechartError(
            "SVG needs Graphviz: install it (Debian: apt install graphviz), or the extra dts-fsm[diagrams]"
        )
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and nothing of the chart is an argument
            [program, "-Tsvg"],
            input=source,
            capture_output=True,
            encoding="utf-8",
            timeout=LAYOUT_TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise StatechartError(f"Graphviz's dot did not lay the chart out in {LAYOUT_TIMEOUT_S:g} s") from error
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        raise StatechartError(f"Graphviz's dot could not lay the chart out: {said}") from error
    return done.stdout


def _program() -> str | None:
    """Graphviz's own program, or the one from the extra, which an environment need not have on its path."""
    scripts = sysconfig.get_path("scripts")
    return shutil.which("dot") or shutil.which(_FALLBACK) or shutil.which(_FALLBACK, path=scripts)


def _pixels(points: str) -> str:
    return f"{float(points) * 4 / 3:.0f}"


def _sheet(prefix: str, theme: Theme) -> str:
    if theme != "auto":
        return _rules(prefix, PALETTES[theme])
    dark = _rules(prefix, PALETTES["dark"])
    return f"{_rules(prefix, PALETTES['light'])}@media (prefers-color-scheme:dark){{{dark}}}"


def _rules(prefix: str, palette: Palette) -> str:
    def rule(selectors: str, **properties: str) -> str:
        chosen = ",".join(f"#{prefix} {selector}" for selector in selectors.split(","))
        return f"{chosen}{{{';'.join(f'{name}:{value}' for name, value in properties.items())}}}"

    rules = [
        f"#{prefix}{{max-width:100%;height:auto;background:{palette.paper};font-family:{_FAMILY}}}",
        rule("text", fill=palette.ink),
        rule(".node path,.node polygon", fill=palette.state, stroke=palette.line),
        rule(".node path+path", fill="none"),  # a final state's second border
        rule(".start ellipse", fill=palette.line, stroke=palette.line),
        rule(".cluster path", fill="none", stroke=palette.line),
        rule(".edge path", fill="none", stroke=palette.line),
        # what runs behind a text breaks off beside it; smaller than it was laid out, so that lines keep their distance
        rule(".edge text", stroke=palette.paper, **_BESIDE_ARROWS),
        rule(".edge polygon", fill=palette.line, stroke=palette.line),
        *_marked("walked", palette.walked, palette.path, rule),
        *_marked("current", palette.current, palette.path, rule),
    ]
    for number, (fill, line) in enumerate(zip(palette.heats, palette.heat_lines, strict=True), 1):
        rules += _marked(f"heat{number}", fill, line, rule)
    return "".join(rules)


def _marked(name: str, fill: str, line: str, rule: Callable[..., str]) -> list[str]:
    return [
        rule(f".node.{name} path", stroke=line),
        rule(f".node.{name} path:first-of-type", fill=fill),
        rule(f".edge.{name} path", stroke=line),
        rule(f".edge.{name} polygon", fill=line, stroke=line),
        rule(f".edge.{name} text", fill=line),
    ]
