"""The real Mermaid draws a Gantt picture with every row and bar that its text has, whatever they are called."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dts_fsm.records import HistoryRecord
from dts_fsm.statechart.drawing.gantt import Gantt, gantt_mermaid
from dts_fsm.store import time_of

MERMAID = Path(__file__).parent / "node" / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
START = time_of(1_800_000_000.0)

NAMES = (
    *("end", "title", "section", "click", "todayMarker", "vert", "excludes weekends", "dateFormat x", "call me"),
    *("x: y; z", "%%{init}%%", "<b>&amp;", "a,b", "#35;", "été ☂", "done", "crit", "milestone", ":", "running"),
)

PAGE = """<body><script src="mermaid.min.js"></script><script>
(async () => {
  const found = [];
  for (const text of TEXTS) {
    try {
      const {svg} = await mermaid.render("g" + found.length, text);
      const page = new DOMParser().parseFromString(svg, "image/svg+xml");
      const texts = (what) => [...page.querySelectorAll(what)].map((one) => one.textContent);
      const bars = [...page.querySelectorAll("rect.task")].map((one) => Number(one.getAttribute("width")));
      found.push({rows: texts("text.sectionTitle"), names: texts("text.taskText,text.taskTextOutsideRight,"
        + "text.taskTextOutsideLeft"), bars});
    } catch (error) { found.push({error: String(error)}); }
  }
  const answer = document.createElement("script");
  answer.type = "application/json"; answer.id = "answer"; answer.textContent = JSON.stringify(found);
  document.body.append(answer);
})();
</script></body>"""


def _gantt() -> Gantt:
    """A transfer, and an operation that was in states of all kinds of names for ten seconds each."""
    transfer = [(None, "transfer", "active", 0), (None, "transfer", "succeeded", 200)]
    odd = [(UUID(int=1), "move", name, 10 * number) for number, name in enumerate(NAMES)]
    return Gantt.of(
        [
            HistoryRecord(
                seq=number,
                transfer_id=UUID(int=9),
                operation_id=operation,
                machine=machine,
                event="go",
                source="x",
                target=target,
                time=START + timedelta(seconds=seconds),
            )
            for number, (operation, machine, target, seconds) in enumerate([*transfer, *odd])
        ],
        now=START + timedelta(seconds=10 * len(NAMES)),
        endpoints={UUID(int=1): "a:b"},
    )


def _drawn(folder: Path, *texts: str) -> list[dict[str, Any]]:
    browser = shutil.which("chromium")
    if browser is None or not MERMAID.exists():
        pytest.skip(f"{'chromium' if browser is None else MERMAID} is missing: run `make packages drawing`")
    (folder / "mermaid.min.js").symlink_to(MERMAID)
    page = PAGE.replace("TEXTS", json.dumps(texts).replace("</", "<\\/"))
    (folder / "page.html").write_text(f'<!doctype html><meta charset="utf-8">{page}', encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [browser, *options, "--virtual-time-budget=60000", "--dump-dom", f"file://{folder / 'page.html'}"],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    found = re.search(r'<script type="application/json" id="answer">(.*?)</script>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    answers: list[dict[str, Any]] = json.loads(found[1])
    return answers


def test_mermaid_draws_every_bar_whatever_it_is_called(tmp_path: Path) -> None:
    gantt = _gantt()
    drawn, nonsense = _drawn(tmp_path, gantt_mermaid(gantt), "gantt\n section x\n : : :\n click")
    assert list(nonsense) == ["error"]
    assert drawn["rows"] == ["transfer", "move a_b"]
    transfer, *odd, _ = drawn["bars"]  # in order of time: the last is the mark of the end
    assert len(drawn["names"]) == len(NAMES) + 2
    assert odd == pytest.approx([transfer / len(NAMES)] * len(NAMES), abs=1.5)  # pixels, which it rounds
