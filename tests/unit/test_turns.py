"""Threads that copy small files take turns while they are busy, and work side by side while they wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from dts_fsm.endpoints import turns as module
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.turns import Turn, Turns
from dts_fsm.records import FileTransfer, OperationCode

LONGEST_S = 30.0


def most_at_once(turns: Turns, wait: Callable[[], object]) -> int:
    """How many of four threads were in their turns at once, each of which takes two in sequence."""
    lock = threading.Lock()
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(2):
            with turns.turn():
                with lock:
                    inside += 1
                    most = max(most, inside)
                wait()
                with lock:
                    inside -= 1

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    return most


def busy() -> None:
    until = time.thread_time() + 0.01
    while time.thread_time() < until:
        pass


def test_busy_threads_work_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_TURN_S", LONGEST_S)
    monkeypatch.setattr(module, "_BUSY", 0.0)  # whatever else this machine does
    assert most_at_once(Turns(4), busy) == 1


def test_waiting_threads_work_all_at_once() -> None:
    turns, gate = Turns(4), threading.Barrier(4)
    with turns.turn():  # by which it is measured
        time.sleep(0.05)
    assert most_at_once(turns, lambda: gate.wait(LONGEST_S)) == 4


def test_a_turn_can_be_given_back_for_a_while() -> None:
    turns, order = Turns(1), []
    with turns.turn() as turn:
        order.append("first")
        with turn.aside(), turns.turn():
            order.append("second")
        order.append("first again")
    assert order == ["first", "second", "first again"]


def test_a_turn_that_never_ends_holds_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_TURN_S", 0.01)
    turns = Turns(4)
    with turns.turn(), turns.turn():
        reached = True
    assert reached is True


def test_a_turn_of_nobody_s_is_free() -> None:
    with Turn() as turn, turn.aside(), Turn():
        reached = True
    assert reached is True


def test_a_move_to_a_place_that_hangs_does_not_hold_the_small_files_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("source", "dead", "sound"):
        (tmp_path / name).mkdir()
    files = []
    for number in range(20):
        (tmp_path / "source" / f"{number}").write_bytes(b"x")
        files.append(FileTransfer(id=f"{number}", source_path=f"{number}", destination_path=f"{number}", bytes=1))
    hanging, over = threading.Event(), threading.Event()
    real = module.Turn.__enter__

    def enter(turn: Turn) -> Turn:
        entered = real(turn)
        if not hanging.is_set():  # the first batch hangs in its turn
            hanging.set()
            over.wait(LONGEST_S)
        return entered

    monkeypatch.setattr(module.Turn, "__enter__", enter)
    source = LocalEndpoint(root=tmp_path / "source", workers=2)
    try:
        source.transfer(LocalEndpoint(root=tmp_path / "dead"), files, operation_id=uuid4())
        assert hanging.wait(LONGEST_S) is True
        move = source.transfer(LocalEndpoint(root=tmp_path / "sound"), files, operation_id=uuid4())
        until = time.monotonic() + LONGEST_S
        while source.statuses([move])[move].code is OperationCode.RUNNING and time.monotonic() < until:
            time.sleep(0.01)
        assert source.statuses([move])[move].code is OperationCode.SUCCEEDED
    finally:
        over.set()
        source.close()
