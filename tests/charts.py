"""Statecharts as another version of the package might have them."""

from __future__ import annotations

import attrs

from dts_fsm.statechart import Chart, MigrationDef, lint, load_chart

TRANSFER, OPERATION = load_chart("transfer"), load_chart("operation")

OTHER_ORDER = attrs.evolve(TRANSFER, transitions=TRANSFER.transitions[::-1])
"""A chart with the same states, of which another transition comes first."""


def without(chart: Chart, state: str, *migrations: MigrationDef) -> Chart:
    """The chart without a state, and without what leads to it or from it."""
    kept = (
        attrs.evolve(t, sources=tuple(source for source in t.sources if source != state))
        for t in chart.transitions
        if t.target != state
    )
    transitions = tuple(t for t in kept if t.sources)
    used = {t.guard for t in transitions}
    changed = attrs.evolve(
        chart,
        states=tuple(one for one in chart.states if one.name != state),
        transitions=transitions,
        guards=tuple(
            attrs.evolve(guard, excludes=tuple(name for name in guard.excludes if name in used))
            for guard in chart.guards
            if guard.name in used
        ),
        migrations=migrations,
        ignored={},
    )
    assert [finding.code for finding in lint(changed) if finding.code not in ("SC015", "SC016")] == []
    return changed


def migration(chart: Chart, **states: str) -> MigrationDef:
    return MigrationDef(fingerprint=chart.fingerprint, states=states, description="The chart became simpler.")
