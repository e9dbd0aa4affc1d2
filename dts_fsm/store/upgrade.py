"""What becomes of a store's transfers under other statecharts than they were made under."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from dts_fsm.statechart import Chart
from dts_fsm.store.maintenance import reading

_LIVING = """
SELECT 'transfer' AS machine, chart, state, suspended_from, count(*) FROM transfers WHERE completed_at IS NULL
GROUP BY chart, state, suspended_from
UNION ALL
SELECT 'operation', chart, state, '', count(*) FROM operations WHERE due_at IS NOT NULL GROUP BY chart, state
ORDER BY machine DESC, chart, state, suspended_from"""


@attrs.frozen(kw_only=True)
class Fate:
    """What becomes of the machines of one kind that are in one state, and were made under one chart.

    Attributes:
        machine: "transfer" or "operation".
        chart: the fingerprint of the chart that they were made under.
        suspended_from: the state in which they are to be resumed, or "".
        count: how many there are.
        target: the state in which they go on, or None.
        how: "same" (the chart is the present one), "kept" (another chart, which has a state of this name as well;
            whether it means the same, nobody can tell from here), "mapped" (a migration of the present chart says so)
            or "stranded" (nothing says where: an orchestrator refuses the store).
    """

    machine: str
    chart: str
    state: str
    suspended_from: str
    count: int
    target: str | None
    how: Literal["same", "kept", "mapped", "stranded"]


def plan(store: Path, charts: Mapping[str, Chart]) -> list[Fate]:
    """Give what becomes of all that lives in the store under these charts; nothing is changed.

    Args:
        store: its file; a service may go on meanwhile.
        charts: "transfer" and "operation".

    Raises:
        StoreError: there is no store, it is damaged, or of another version.
    """
    with reading(store) as db:
        rows = db.execute(_LIVING).fetchall()
    fates = []
    for machine, fingerprint, state, suspended_from, count in rows:
        chart = charts[machine]
        target = chart.carried(fingerprint, state, suspended_from)
        resumed = chart.carried(fingerprint, suspended_from) if suspended_from else target
        how: Literal["same", "kept", "mapped", "stranded"] = "kept"
        if target is None or resumed is None:
            how = "stranded"
        elif fingerprint == chart.fingerprint:
            how = "same"
        elif target != state or any(state in one.states for one in chart.migrations if one.fingerprint == fingerprint):
            how = "mapped"
        fates.append(
            Fate(
                machine=machine,
                chart=fingerprint,
                state=state,
                suspended_from=suspended_from,
                count=count,
                target=target,
                how=how,
            )
        )
    return fates
