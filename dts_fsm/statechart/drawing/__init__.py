"""Pictures of charts: ``picture`` says what is shown, and each writer how it is written."""

from collections.abc import Callable, Mapping

from dts_fsm.statechart.drawing.dot import dot
from dts_fsm.statechart.drawing.markdown import markdown
from dts_fsm.statechart.drawing.mermaid import mermaid
from dts_fsm.statechart.drawing.picture import Mark, Overlay, Picture, Step, Theme
from dts_fsm.statechart.drawing.plantuml import plantuml
from dts_fsm.statechart.drawing.svg import svg

WRITERS: Mapping[str, Callable[..., str]] = {
    "mermaid": mermaid,
    "dot": dot,
    "svg": svg,
    "plantuml": plantuml,
    "markdown": markdown,
}
"""What draws a picture, by the name of the format: called with the picture and a ``theme``."""

__all__ = ["WRITERS", "Mark", "Overlay", "Picture", "Step", "Theme", "dot", "markdown", "mermaid", "plantuml", "svg"]
