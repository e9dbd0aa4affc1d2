"""What dts_fsm offers: the names, their signatures, a docstring for each, and the tree of errors as it is drawn."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import dts_fsm
from dts_fsm import errors, interfaces

PACKAGE = Path(__file__).parents[2] / "dts_fsm"

DESIGNED = {
    *("Orchestrator", "Config", "Specification", "User", "Descriptor", "Message", "Subscription"),
    *("TransferStatus", "TransferStatusCode", "FileTransfer", "JournalRecord", "FileRecord", "TransferRecord"),
    *("Database", "Endpoint", "Handler", "Store", "Clock", "SearchParameters", "SearchResults"),
    *("DtsError", "TransientError", "PermanentError", "AlreadyRunningError", "NotRunningError"),
    *("TransferNotFoundError", "NoFilesRequestedError", "InvalidOrcidError", "PayloadTooLargeError"),
}
"""The names that clients and plug-ins are promised, whatever else changes."""

SIGNATURES = {
    "__init__": "(config, *, databases=None, endpoints=None, handlers=None, charts=None, store=None, "
    "executor=None, clock=None)",
    "start": "(*, schedule=True)",
    "stop": "(timeout_s=None)",
    "upgrade": "()",
    "create": "(specification, *, idempotency_key=None)",
    "create_many": "(specifications, *, idempotency_keys=None)",
    "plan": "(specification)",
    "status": "(transfer_id)",
    "wait": "(transfer_id, timeout_s=None)",
    "cancel": "(transfer_id, orcid)",
    "suspend": "(transfer_id, orcid)",
    "resume": "(transfer_id, orcid)",
    "retry": "(transfer_id, orcid)",
    "files": "(transfer_id)",
    "history": "(transfer_id)",
    "explain": "(transfer_id)",
    "transfer": "(transfer_id)",
    "transfers": "(*, state=None, user=None, source=None, limit=100, after=None)",
    "subscribe": "(buffer_size=32, *, after=None, transfer_id=None)",
    "unsubscribe": "(subscription)",
    "journal": "(start=None, stop=None, *, status=None, limit=None)",
}
"""How an orchestrator is called: a change here is a change for everybody who uses the library."""


def test_every_public_name_is_there_once() -> None:
    assert sorted(set(dts_fsm.__all__)) == sorted(dts_fsm.__all__)
    assert set() == {name for name in dts_fsm.__all__ if not hasattr(dts_fsm, name)}


def test_what_is_exported_is_what_is_public() -> None:
    for name in dts_fsm.__all__:
        getattr(dts_fsm, name)  # some are imported only then
    present = {
        name for name, value in vars(dts_fsm).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert present - {"TYPE_CHECKING", "import_module"} | {"__version__"} == set(dts_fsm.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        dts_fsm.Nonsense  # noqa: B018 - asked for in vain


def test_what_draws_charts_needs_neither_sqlite_nor_yaml() -> None:
    program = (
        "import sys; before = set(sys.modules); import dts_fsm.statechart.drawing; "
        "print(sorted({'sqlite3', 'yaml'} & (set(sys.modules) - before)))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_everything_that_was_promised_is_public() -> None:
    assert set() == DESIGNED - set(dts_fsm.__all__)


def test_every_error_is_public() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert defined == set(errors.__all__)
    assert set() == defined - set(dts_fsm.__all__)


@pytest.mark.parametrize("method", sorted(SIGNATURES))
def test_an_orchestrator_is_called_as_it_was_promised(method: str) -> None:
    signature = inspect.signature(getattr(dts_fsm.Orchestrator, method))
    own = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    plain = inspect.Signature(own)
    assert SIGNATURES[method] == str(plain)


def test_every_public_method_of_an_orchestrator_is_promised() -> None:
    methods = {name for name, _ in inspect.getmembers(dts_fsm.Orchestrator, inspect.isfunction) if name[0] != "_"}
    assert methods | {"__init__"} == set(SIGNATURES)


def test_seven_states_have_the_names_and_the_wire_form_of_dts() -> None:
    expected = ["unknown", "staging", "active", "inactive", "finalizing", "succeeded", "failed"]
    assert expected == [code.value for code in dts_fsm.TransferStatusCode]
    assert [name.upper() for name in expected] == [code.name for code in dts_fsm.TransferStatusCode]


def _undocumented(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    where = path.relative_to(PACKAGE).as_posix()
    if path.stat().st_size and ast.get_docstring(tree) is None:
        yield where
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        # the name of a migration says what it makes, and an overload is explained where the function is
        decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
        plain = not any("migrations" in decorator or decorator == "overload" for decorator in decorators)
        if ast.get_docstring(node) is None and plain:
            yield f"{where}: {node.name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_public_class_and_function_has_a_docstring(path: Path) -> None:
    assert set() == set(_undocumented(path))


def _methods(kind: type) -> Iterator[tuple[str, object]]:
    for name, value in vars(kind).items():
        callable_ = getattr(value, "__func__", value)
        if not name.startswith("_") and (inspect.isfunction(callable_) or isinstance(value, property)):
            yield name, value


def test_every_public_method_of_a_public_class_has_a_docstring() -> None:
    bare = set()
    for name in dts_fsm.__all__:
        kind = getattr(dts_fsm, name)
        # what a store's methods promise stands in the contract
        promised = dict(_methods(dts_fsm.Store)) if name == "SqliteStore" else {}
        for method, value in _methods(kind) if inspect.isclass(kind) else ():
            if not value.__doc__ and not promised.get(method, value).__doc__:
                bare.add(f"{name}.{method}")
    assert set() == bare


def test_a_contract_says_what_each_of_its_methods_promises() -> None:
    contracts = [interfaces.Endpoint, interfaces.Database, interfaces.Handler, interfaces.Clock, dts_fsm.Store]
    silent = {f"{kind.__name__}.{name}" for kind in contracts for name, value in _methods(kind) if not value.__doc__}
    assert set() == silent


_NAME = re.compile(r"[A-Z]\w*Error")
_ENTRY = re.compile(r"^ {4}(?P<bars>[ |]*)\+-- (?P<rest>.*)$")


def _drawn() -> dict[str, tuple[str, str | None]]:
    """Each error of the tree in the docstring of errors.py, with its parent and the builtin beside it, if any."""
    found: dict[str, tuple[str, str | None]] = {"DtsError": ("Exception", None)}
    parents = ["DtsError"]
    depth = 0
    for line in (errors.__doc__ or "").splitlines():
        if match := _ENTRY.match(line):
            depth = len(match["bars"]) // 4 + 1
            rest = match["rest"]
        elif line.startswith(("    |", "     ")):
            rest = line.strip(" |")
        else:
            continue
        if alone := re.match(r"(\w+Error)(?: \((\w+)\))?(?: .*)?$", rest):
            found[alone[1]] = (parents[depth - 1], alone[2])
            parents[depth:] = [alone[1]]
        else:
            found |= dict.fromkeys(_NAME.findall(rest), (parents[depth - 1], None))
    return found


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    actual = {}
    for name in errors.__all__:
        kind = getattr(errors, name)
        first, *others = kind.__bases__
        actual[name] = (first.__name__, others[0].__name__ if others else None)
    assert actual == _drawn()


def test_a_usage_error_is_also_the_builtin_that_a_caller_would_expect() -> None:
    pairs = {
        "ConfigurationError": ValueError,
        "SpecificationError": ValueError,
        "NotFoundError": LookupError,
        "PermissionDeniedError": PermissionError,
        "WaitTimeoutError": TimeoutError,
        "LifecycleError": RuntimeError,
    }
    assert set() == {name for name, builtin in pairs.items() if not issubclass(getattr(dts_fsm, name), builtin)}
