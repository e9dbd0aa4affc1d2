"""What an import refuses, with its place; and what it makes of the documents of others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from dts_fsm.cli.main import main
from dts_fsm.errors import StatechartError
from dts_fsm.statechart import Chart, GuardDef, StateDef, TransitionDef, load_chart, load_chart_file, parse_chart
from dts_fsm.statechart.exchange import from_scxml, from_xstate, to_scxml, to_xstate
from dts_fsm.statechart.writer import chart_to_toml

SCXML = """<?xml version="1.0"?>
<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <!-- what another program has written -->
  <state id="open">
    <transition event="close slam" target="closed" cond="allowed"/>
  </state>
  <final id="closed">
    <onentry><log label="enter" expr="&quot;door.lock&quot;"/></onentry>
  </final>
</scxml>
"""
XSTATE: dict[str, Any] = {
    "initial": "open",
    "states": {
        "open": {"on": {"close": {"target": "closed", "guard": {"type": "allowed"}}, "slam": ["closed"]}},
        "closed": {"type": "final", "entry": [{"type": "door.lock"}]},
    },
}
DOOR = Chart(
    name="imported",
    initial="open",
    description="imported",
    states=(
        StateDef(name="open", description="open"),
        StateDef(name="closed", description="closed", enter="door.lock", final=True),
    ),
    guards=(GuardDef(name="allowed", description="allowed"),),
    transitions=(
        TransitionDef(event="close", sources=("open",), target="closed", guard="allowed", description="close"),
        TransitionDef(event="slam", sources=("open",), target="closed", guard="allowed", description="slam"),
    ),
)
BOMB = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))


def refusal(read: Callable[..., Chart], text: str) -> str:
    """All that the error says."""
    with pytest.raises(StatechartError) as caught:
        read(text, file="door")
    return str(caught.value)


def changed(**changes: Any) -> dict[str, Any]:
    """The machine with other values in its state ``open``."""
    return XSTATE | {"states": XSTATE["states"] | {"open": XSTATE["states"]["open"] | changes}}


class TestScxml:
    def test_a_document_of_others_is_read_and_described_by_its_names(self) -> None:
        assert from_scxml(SCXML) == DOOR

    def test_the_first_state_is_the_initial_one_unless_the_document_says_so(self) -> None:
        other = SCXML.replace('version="1.0">', 'version="1.0" initial="closed" name="door">')
        assert (from_scxml(other).initial, from_scxml(other).name) == ("closed", "door")

    def test_what_editors_add_in_their_own_namespaces_is_passed_over(self) -> None:
        added = SCXML.replace('version="1.0">', 'version="1.0" xmlns:qt="http://www.qt.io/2015/02/scxml-ext">').replace(
            '<state id="open">', '<state id="open" qt:x="1"><qt:editorinfo><qt:deep>text</qt:deep></qt:editorinfo>'
        )
        assert from_scxml(added) == DOOR

    @pytest.mark.parametrize(
        ("old", "new", "finding"),
        [
            ("<state", '<parallel id="p"/><state', "door: line 4: <parallel> is not in the subset"),
            ("<transition", '<state id="inner"/><transition', "line 5: <state> is not in the subset that can be impor"),
            ("<transition", '<history id="h"/><transition', "<state> may hold <onentry> <transition>"),
            ("<transition", "<onexit/><transition", "<onexit> is not in the subset"),
            ("<transition", '<invoke src="file:///etc/passwd"/><transition', "<invoke> is not in the subset"),
            ("<onentry>", "<donedata/><onentry>", "<donedata> is not in the subset"),
            ("<onentry>", '<onentry><script src="x"/>', "line 8: <script> is not in the subset"),
            ("<onentry>", '<onentry><e:go xmlns:e="urn:else"/>', "line 8: <go> is not in the subset"),
            ("<onentry>", '<onentry><log label="enter" expr="\'a\'"/>', "line 8: <log> is one of several in its state"),
            ('label="enter"', 'label="debug"', "line 8: <log> does not name a callback"),
            ("&quot;door.lock&quot;", "1 + 1", "line 8: <log> does not name a callback"),
            ('event="close slam"', "", "line 5: <transition> has no attribute 'event'"),
            ('event="close slam"', 'event="close.*"', "'close.*' is not a lower_snake_case name"),
            ('event="close slam"', 'event=""', "'' is not a lower_snake_case name"),
            ('target="closed"', "", "line 5: <transition> has no attribute 'target'"),
            ('target="closed"', 'target="closed open"', "has the target 'closed open': it must be one state"),
            ('cond="allowed"', 'cond="x &gt; 1"', "has the condition 'x > 1': it must be the name of one guard"),
            ('cond="allowed"', 'cond="true"', "has the condition 'true'"),
            ('cond="allowed"', 'type="internal"', "has the type 'internal': only 'external' is known"),
            ('cond="allowed"', 'delay="1s"', "has the attribute 'delay', which is not in the subset"),
            ('cond="allowed"', 'd:after="1s"', "has the attribute 'dts:after', which is not in the subset"),
            ('cond="allowed"', 'd:order="1"', "has the dts:order '1': it must be two numbers from 1"),
            ('id="closed"', 'id="open"', "door: the state 'open' is declared 2 times"),
            ('id="open"', 'id="Open"', "'Open' is not a lower_snake_case name"),
            ('id="open"', "", "line 4: <state> has no attribute 'id'"),
            ('id="open"', 'id="open" initial="a"', "line 4: <state> has the attribute 'initial'"),
            ('id="open"', 'id="open" d:deadline=""', "'' is not a lower_snake_case name"),
            ("<state", '<datamodel><data id="a" expr="1"/></datamodel><state', "line 4: <data> has a value"),
            ("<state", '<datamodel><data id="a" src="x"/></datamodel><state', "line 4: <data> has the attribute 'src'"),
            ("<state", '<datamodel><data id="a">1</data></datamodel><state', "line 4: <data> holds text"),
            ("</scxml>", "", "no element found"),
            ("</scxml>", "</scxml><scxml/>", "junk after document element"),
            ("http://www.w3.org/2005/07/scxml", "urn:else", "line 2: <scxml> is not in the subset"),
        ],
    )
    def test_what_a_chart_cannot_say_is_refused_with_its_place(self, old: str, new: str, finding: str) -> None:
        text = SCXML.replace("<scxml ", '<scxml xmlns:d="urn:dts-fsm:statechart" ').replace(old, new, 1)
        assert finding in refusal(from_scxml, text)

    def test_every_finding_is_listed(self) -> None:
        text = SCXML.replace("<transition", "<onexit/><invoke/><transition", 1)
        with pytest.raises(StatechartError) as caught:
            from_scxml(text)
        assert [re.findall("<(.*?)>", finding)[0] for finding in caught.value.findings] == ["onexit", "invoke"]

    @pytest.mark.parametrize(
        "doctype",
        [
            f'<!DOCTYPE scxml [<!ENTITY a0 "boom">{BOMB}]>',
            '<!DOCTYPE scxml [<!ENTITY a11 SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE scxml [<!ENTITY % a SYSTEM "http://127.0.0.1:9/a.dtd"> %a;]>',
            '<!DOCTYPE scxml SYSTEM "http://127.0.0.1:9/scxml.dtd">',
            "<!DOCTYPE scxml>",
        ],
    )
    def test_document_types_are_refused_before_anything_in_them_is_read(self, doctype: str) -> None:
        text = SCXML.replace("<scxml", f"{doctype}<scxml").replace("imported", "&a11;")
        assert "line 2: <!DOCTYPE> is refused" in refusal(from_scxml, text)

    @pytest.mark.parametrize("text", ["", " ", "{}", "<a", "\ud800", "<scxml>\x00</scxml>", "<x:scxml/>", "&a;"])
    def test_what_is_no_xml_is_refused(self, text: str) -> None:
        assert "is not a valid XML document" in refusal(from_scxml, text)

    def test_a_document_of_any_depth_is_refused(self) -> None:
        deep = SCXML.replace("<transition", f"{'<state>' * 200_000}{'</state>' * 200_000}<transition")
        assert "line 5: <state> is not in the subset" in refusal(from_scxml, deep)

    def test_a_document_without_states_is_refused(self) -> None:
        assert "<scxml> has no states" in refusal(from_scxml, '<scxml xmlns="http://www.w3.org/2005/07/scxml"/>')

    def test_texts_that_xml_cannot_hold_come_back(self) -> None:
        chart = attrs.evolve(
            load_chart("operation"), description="\x00 \x0b \ufffe \uffff \\ \\u0041 \r\n\t\x85 <&\"'> "
        )
        assert from_scxml(to_scxml(chart)) == chart

    def test_a_guard_that_would_be_a_word_of_the_language_is_refused(self) -> None:
        text = chart_to_toml(load_chart("operation")).replace("attempts_left", "true")
        with pytest.raises(StatechartError, match="'true' cannot be the name of a guard there"):
            to_scxml(parse_chart(text, file="words.toml"))


class TestXState:
    def test_a_machine_of_others_is_read_and_described_by_its_names(self) -> None:
        close, slam = DOOR.transitions
        expected = attrs.evolve(DOOR, transitions=(close, attrs.evolve(slam, guard=None)))
        assert from_xstate(json.dumps(XSTATE)) == expected

    @pytest.mark.parametrize(
        ("machine", "finding"),
        [
            ([], "door: the machine: must be an object"),
            (1, "door: the machine: must be an object"),
            (XSTATE | {"type": "parallel"}, "the machine: 'type' is not in the subset"),
            (XSTATE | {"context": {"a": 1}}, "the machine: 'context' is not in the subset"),
            (XSTATE | {"on": {"reset": "open"}}, "the machine: 'on' is not in the subset"),
            (XSTATE | {"initial": None}, "door: initial: is missing"),
            (XSTATE | {"initial": {"target": "open"}}, "door: initial: must be text"),
            (XSTATE | {"states": ["open"]}, "door: states: must be an object"),
            (XSTATE | {"states": {"open": None}}, "door: states.open: must be an object"),
            (XSTATE | {"meta": 1}, "door: meta: must be an object"),
            (XSTATE | {"meta": {"dts_fsm": {"guards": {"a": {"excludes": "b"}}}}}, "a.excludes: must be an array"),
            (XSTATE | {"meta": {"dts_fsm": {"guard": {}}}}, "meta.dts_fsm: 'guard' is not in the subset"),
            (changed(states={"inner": {}}), "states.open: 'states' is not in the subset"),
            (changed(after={"1000": "closed"}), "states.open: 'after' is not in the subset"),
            (changed(always="closed"), "states.open: 'always' is not in the subset"),
            (changed(invoke={"src": "x"}), "states.open: 'invoke' is not in the subset"),
            (changed(exit="x"), "states.open: 'exit' is not in the subset"),
            (changed(type="parallel"), "states.open: the type 'parallel' is not in the subset"),
            (changed(type="history"), "states.open: the type 'history' is not in the subset"),
            (changed(entry=["a", "b"]), "states.open: has several entry actions"),
            (changed(entry={"type": "a", "params": {}}), "states.open.entry: 'params' is not in the subset"),
            (changed(entry=5), "states.open.entry: must be text"),
            (changed(entry="Alert"), "'Alert' is not a name such as 'handler.method'"),
            (changed(meta={"dts_fsm": {"deadline": 5}}), "states.open.meta.dts_fsm.deadline: must be text"),
            (changed(on=["close"]), "states.open.on: must be an object"),
            (changed(on={"close": {"target": ["closed", "open"]}}), "on.close[0]: the target must be the name of one"),
            (changed(on={"close": {"actions": "a"}}), "on.close[0]: 'actions' is not in the subset"),
            (changed(on={"close": None}), "states.open.on.close[0]: must be an object"),
            (changed(on={"close": [{"target": "#door.closed"}]}), "'#door.closed' is not a lower_snake_case name"),
            (changed(on={"*": "closed"}), "'*' is not a lower_snake_case name"),
            (
                changed(on={"close": {"target": "closed", "guard": {"type": "a", "params": 1}}}),
                "guard: 'params' is not",
            ),
            (changed(on={"close": {"target": "closed", "reenter": 1}}), "'reenter' must be true or false"),
            (changed(entry="a", on={"close": "open"}), "on.close[0]: leads back without 'reenter'"),
            (
                changed(on={"close": {"target": "closed", "meta": {"dts_fsm": {"order": [0, 1]}}}}),
                "close[0].meta.dts_fsm.order: must be two numbers from 1",
            ),
            (changed(description="\ud800"), "surrogates"),
        ],
    )
    def test_what_a_chart_cannot_say_is_refused_with_its_place(self, machine: Any, finding: str) -> None:
        assert finding in refusal(from_xstate, json.dumps(machine))

    def test_what_others_keep_in_meta_is_passed_over(self) -> None:
        machine = changed(meta={"layout": [1, 2]}) | {"meta": {"author": "Ada"}}
        assert from_xstate(json.dumps(machine)) == from_xstate(json.dumps(XSTATE))

    @pytest.mark.parametrize("text", ["", "{", "createMachine({})", "[" * 100_000, '{"a": 1, "a": 2}', "1" * 5000])
    def test_what_is_no_json_is_refused(self, text: str) -> None:
        assert "is not a valid JSON text" in refusal(from_xstate, text)


class TestOrder:
    """The numbers that put transitions of several states together."""

    TEXT = to_scxml(load_chart("operation"))

    @pytest.mark.parametrize(
        ("old", "new", "finding"),
        [
            (' dts:order="1 1"', "", "has no order, where other transitions have one"),
            ('dts:order="2 1"', 'dts:order="1 2"', "is another transition than door: line 8: <transition>, but has th"),
            ('dts:order="3 2"', 'dts:order="3 1"', "has the same order as door: line 13: <transition>"),
            ('dts:order="7 1"', 'dts:order="6 9"', "has the same number 6"),
        ],
    )
    def test_contradictions_are_refused(self, old: str, new: str, finding: str) -> None:
        assert finding in refusal(from_scxml, self.TEXT.replace(old, new, 1))

    def test_an_order_against_that_of_the_document_is_refused(self) -> None:
        lines = to_scxml(load_chart("transfer")).splitlines()
        first, second = (number for number, line in enumerate(lines) if re.search('dts:order="(8|9) 1"', line))
        lines[first], lines[second] = lines[second], lines[first]
        assert "has the number 8, but is tried after number 9" in refusal(from_scxml, "\n".join(lines))

    def test_without_any_order_each_state_has_transitions_of_its_own(self) -> None:
        chart = from_scxml(re.sub(r' dts:order="\d+ \d+"', "", self.TEXT))
        assert chart.fingerprint == load_chart("operation").fingerprint
        assert {len(transition.sources) for transition in chart.transitions} == {1}


class TestToml:
    def test_what_it_writes_looks_like_our_own_files(self) -> None:
        assert chart_to_toml(DOOR).startswith(
            '[chart]\nname = "imported"\ninitial = "open"\ndescription = "imported"\n\n[states.open]\ndescription = "op'
        )
        assert chart_to_toml(DOOR).endswith(
            '[[transitions]]\nevent = "slam"\nfrom = ["open"]\nto = "closed"\nguard = "allowed"\ndescription = "slam"\n'
        )

    @pytest.mark.parametrize(
        "chart",
        [
            attrs.evolve(DOOR, description="\x00\x1f\x7f\x80\\u0041\\ \"'\r\n\t\b\f \u2028"),
            attrs.evolve(DOOR, states=DOOR.states[1:], initial="closed", transitions=(), guards=()),
            attrs.evolve(DOOR, states=()),
        ],
    )
    def test_what_it_writes_is_read_as_an_equal_chart(self, chart: Chart) -> None:
        assert parse_chart(chart_to_toml(chart), file="door.toml") == chart

    @pytest.mark.parametrize(
        "chart",
        [
            attrs.evolve(DOOR, name="the door"),
            attrs.evolve(DOOR, description=" "),
            attrs.evolve(DOOR, states=DOOR.states * 2),
            attrs.evolve(DOOR, transitions=[]),
            attrs.evolve(DOOR, states=(StateDef(name='a"]\n[b', description="b"),)),
            attrs.evolve(DOOR, description="\ud800"),
        ],
    )
    def test_a_chart_that_no_file_can_hold_is_refused(self, chart: Chart) -> None:
        with pytest.raises(StatechartError):
            chart_to_toml(chart)


class TestCommands:
    @staticmethod
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    @pytest.mark.parametrize("name", ["transfer", "operation"])
    @pytest.mark.parametrize(("form", "write"), [("scxml", to_scxml), ("xstate", to_xstate)])
    def test_a_chart_goes_out_and_comes_back(
        self, tmp_path: Path, name: str, form: str, write: Callable[[Chart], str]
    ) -> None:
        assert self.run("export", name, "--format", form).stdout == write(load_chart(name))
        there, back = tmp_path / "there", tmp_path / "back.toml"
        assert self.run("export", name, "--format", form, "--output", there).exit_code == 0
        assert self.run("import", there, "-o", back).exit_code == 0
        assert load_chart_file(back) == load_chart(name)
        again = self.run("export", back, "--format", form)
        assert again.stdout == there.read_text(encoding="utf-8")

    def test_a_chart_with_findings_is_written_and_they_are_listed(self, tmp_path: Path) -> None:
        file = tmp_path / "door.scxml"
        file.write_text("\ufeff" + SCXML.replace('target="closed"', 'target="ajar"'), encoding="utf-8")
        result = self.run("import", file)
        assert (result.exit_code, result.stdout.startswith("[chart]\n")) == (1, True)
        assert "SC001 unknown state 'ajar'" in result.stderr
        assert result.stderr.endswith("the chart was written, but cannot be used yet: 4 errors\n")

    @pytest.mark.parametrize("content", [b"<a", b"{", b"\xff\xfe<\x00", None])
    def test_a_file_that_cannot_be_read_is_an_error_of_one_line(self, tmp_path: Path, content: bytes | None) -> None:
        file = tmp_path / "door"
        if content is not None:
            file.write_bytes(content)
        result = self.run("import", file, "-o", tmp_path / "door.toml")
        assert (result.exit_code, result.stderr.count("\n"), (tmp_path / "door.toml").exists()) == (1, 1, False)
