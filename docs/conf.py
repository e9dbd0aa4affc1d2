"""How Sphinx builds these pages: `make docs`."""

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from dts_fsm import __version__

project = "dts_fsm"
author = "The dts_fsm maintainers"
copyright = "the dts_fsm maintainers"  # noqa: A001 - Sphinx names the setting so
version = release = __version__

extensions = [
    "charts_and_commands",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["_build", "_ext"]

html_theme = "furo"
html_title = f"dts_fsm {__version__}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

# Diagrams are drawn while the pages are built: the pages need no network, and a diagram with a fault is a warning.
mermaid_output_format = "svg"
mermaid_cmd = shlex.join([sys.executable, "-m", "mermaidx"])
mermaid_params = ["--quiet", "--background", "white"]
