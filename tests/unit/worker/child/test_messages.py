from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from sparkscore.worker.child.messages import (
    Connection,
    ConnectionLostError,
    DescriptorLostError,
    ForeignMessageError,
)

TOKEN, OTHER_TOKEN = b"t" * 16, b"o" * 16


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def pair(ends: tuple[socket.socket, socket.socket]) -> tuple[Connection, Connection]:
    return Connection(ends[0], TOKEN), Connection(ends[1], TOKEN)


@pytest.mark.parametrize("message", [None, ("score", [1, "é"]), b"x" * 3_000_000])
def test_a_message_comes_as_it_was_sent(pair: tuple[Connection, Connection], message: object) -> None:
    sender, receiver = pair
    thread = threading.Thread(target=sender.send, args=(message, 1))

    thread.start()
    found = receiver.receive(1, os.getpid(), 30)
    thread.join()

    assert found == message


def test_of_a_slice_of_a_table_its_own_rows_travel(pair: tuple[Connection, Connection]) -> None:
    table = pa.table({"x": range(1_000_000)}).slice(10, 3)

    pair[0].send(table, 1)

    assert pair[1].receive(1, os.getpid(), 30).to_pydict() == {"x": [10, 11, 12]}


def test_who_waits_is_told_whether_something_can_be_read(pair: tuple[Connection, Connection]) -> None:
    assert not pair[1].wait(0)

    pair[0].send("x", 1)

    assert pair[1].wait(5)


@pytest.mark.parametrize(("number", "sender"), [(2, 0), (1, 1)])
def test_a_message_of_another_call_or_process_is_refused(
    pair: tuple[Connection, Connection], number: int, sender: int
) -> None:
    pair[0].send("x", 1)

    with pytest.raises(ForeignMessageError):
        pair[1].receive(number, os.getpid() + sender, 5)


def test_a_message_of_another_connection_is_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    Connection(ends[0], OTHER_TOKEN).send("x", 1)

    with pytest.raises(ForeignMessageError):
        Connection(ends[1], TOKEN).receive(1, os.getpid(), 5)


def test_what_is_no_message_is_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].sendall(struct.pack("!16sQQQ", b"print", 1, os.getpid(), 0))

    with pytest.raises(ForeignMessageError):
        Connection(ends[1], TOKEN).receive(1, os.getpid(), 5)


@pytest.mark.parametrize("is_half", [True, False])
def test_a_connection_that_the_other_end_closed_is_lost(
    ends: tuple[socket.socket, socket.socket], *, is_half: bool
) -> None:
    if is_half:
        ends[0].sendall(b"half of a header")
    ends[0].close()

    with pytest.raises(ConnectionLostError):
        Connection(ends[1], TOKEN).receive(1, os.getpid(), 5)


def test_to_an_end_that_is_closed_nothing_is_sent(pair: tuple[Connection, Connection]) -> None:
    pair[1].close()

    with pytest.raises(ConnectionLostError):
        pair[0].send(b"x" * 3_000_000, 1)


def test_a_message_that_does_not_come_in_time_is_not_waited_for(pair: tuple[Connection, Connection]) -> None:
    with pytest.raises(TimeoutError):
        pair[1].receive(1, os.getpid(), 0.01)


def test_an_end_that_takes_nothing_is_not_waited_for(pair: tuple[Connection, Connection]) -> None:
    with pytest.raises(TimeoutError):
        pair[0].send(b"x" * 3_000_000, 1, 0.05)


@pytest.mark.parametrize("timeout", [None, 30])
def test_a_process_that_died_while_a_copy_of_it_holds_the_socket_is_not_waited_for(
    ends: tuple[socket.socket, socket.socket], timeout: float | None
) -> None:
    connection = Connection(ends[0], TOKEN, is_other_alive=lambda: False)

    with pytest.raises(ConnectionLostError):
        connection.receive(1, os.getpid(), timeout)


def test_what_a_process_wrote_before_its_end_is_read(ends: tuple[socket.socket, socket.socket]) -> None:
    Connection(ends[1], TOKEN).send("last words", 1)

    connection = Connection(ends[0], TOKEN, is_other_alive=lambda: False)

    assert connection.receive(1, os.getpid(), 5) == "last words"


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_descriptor_that_other_code_closed_is_noticed(
    ends: tuple[socket.socket, socket.socket], *, is_replaced: bool
) -> None:
    connection = Connection(ends[0], TOKEN)
    number = ends[0].detach() if not is_replaced else ends[0].fileno()
    if is_replaced:
        with open(os.devnull) as other:  # noqa: PTH123 - its descriptor is what is wanted
            os.dup2(other.fileno(), number)
    else:
        os.close(number)

    with pytest.raises(DescriptorLostError):
        connection.send("x", 1)
    with pytest.raises(DescriptorLostError):
        connection.receive(1, os.getpid(), 5)
