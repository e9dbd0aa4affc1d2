"""Charts that go to another format and come back are equal; whatever else is read, only errors of ours come out."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from dts_fsm.errors import StatechartError
from dts_fsm.statechart import CHARTS, Chart, Severity, lint, load_chart, parse_chart
from dts_fsm.statechart.exchange import from_scxml, from_xstate, to_scxml, to_xstate
from dts_fsm.statechart.writer import chart_to_toml
from tests.fuzzing import fuzz, own_errors_only
from tests.strategies import JSON_WORDS, any_charts, charts, mutated, mutated_json

OURS = [load_chart(name) for name in CHARTS]
ALL_CHARTS = charts() | st.sampled_from(OURS)

XML_WORDS = (
    *(
        "<state",
        "<parallel/>",
        "<final",
        "<history id='h'/>",
        "</state>",
        "/>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?a",
    ),
    *(
        "<!DOCTYPE a>",
        '<!DOCTYPE a [<!ENTITY b "c">]>',
        "&b;",
        "&#0;",
        "&#xd800;",
        "&lt;",
        '"',
        "'",
        "<",
        ">",
        "&",
        "=",
    ),
    *(
        "xmlns=''",
        "xmlns:dts=''",
        "dts:order='0 0'",
        "dts:order='1 1'",
        "id",
        "event",
        "target",
        "cond",
        "\x00",
        "\ud800",
    ),
)


@given(ALL_CHARTS)
@settings(deadline=None)
def test_a_chart_that_went_to_scxml_comes_back_equal(chart: Chart) -> None:
    text = to_scxml(chart)
    assert (chart, text) == (from_scxml(text), to_scxml(from_scxml(text)))


@given(ALL_CHARTS)
@settings(deadline=None)
def test_a_chart_that_went_to_xstate_comes_back_equal(chart: Chart) -> None:
    text = to_xstate(chart)
    assert (chart, text) == (from_xstate(text), to_xstate(from_xstate(text)))


@given(ALL_CHARTS)
@settings(deadline=None)
def test_a_chart_that_is_written_as_toml_is_read_as_an_equal_one(chart: Chart) -> None:
    again = parse_chart(chart_to_toml(chart), file="chart.toml")
    assert (chart, chart.migrations) == (again, again.migrations)


@given(ALL_CHARTS)
@settings(deadline=None)
def test_a_chart_comes_back_through_every_format_with_the_same_fingerprint(chart: Chart) -> None:
    assert chart.fingerprint == from_xstate(to_xstate(from_scxml(to_scxml(chart)))).fingerprint


@given(any_charts())
@settings(deadline=None)
def test_a_chart_with_faults_goes_nowhere(chart: Chart) -> None:
    assume(any(finding.severity is Severity.ERROR for finding in lint(chart)))
    for write in (to_scxml, to_xstate):
        with pytest.raises(StatechartError, match="cannot be used"):
            write(chart)


@given(any_charts())
@settings(deadline=None)
def test_a_chart_is_written_as_toml_if_it_can_be_read_again(chart: Chart) -> None:
    written = None
    with own_errors_only():
        written = chart_to_toml(chart)
    assert written is None or chart == parsed(written)


def parsed(text: str) -> Chart:
    """The chart of a TOML text."""
    return parse_chart(text, file="chart.toml")


@fuzz(200)
@given(data=st.data())
def test_fuzzed_scxml_is_read_as_a_sound_chart_or_refused(data: st.DataObject) -> None:
    text = data.draw(mutated(to_scxml(data.draw(ALL_CHARTS)), XML_WORDS))
    chart = None
    with own_errors_only():
        chart = from_scxml(text)
    event("refused" if chart is None else "read")
    assert chart is None or chart == parsed(chart_to_toml(chart))


@fuzz(200)
@given(data=st.data())
def test_fuzzed_xstate_is_read_as_a_sound_chart_or_refused(data: st.DataObject) -> None:
    whole = to_xstate(data.draw(ALL_CHARTS))
    text = data.draw(mutated(whole, JSON_WORDS) | mutated_json(json.loads(whole)).map(json.dumps))
    chart = None
    with own_errors_only():
        chart = from_xstate(text)
    event("refused" if chart is None else "read")
    assert chart is None or chart == parsed(chart_to_toml(chart))
