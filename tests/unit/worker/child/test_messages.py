from __future__ import annotations

import io
import os
import pickle
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.worker.child import messages
from sparkscore.worker.child.messages import (
    Connection,
    ConnectionLostError,
    DescriptorLostError,
    ForeignMessageError,
    UnreadableMessageError,
)
from sparkscore.worker.child.shared_memory import LARGEST, SharedMemory

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


@pytest.fixture
def sharing(pair: tuple[Connection, Connection]) -> Iterator[tuple[Connection, Connection]]:
    memory = SharedMemory.create()
    assert memory is not None
    received = SharedMemory.received([os.dup(memory.descriptor)])
    assert received is not None
    pair[0].memory, pair[1].memory = memory, received
    yield pair
    memory.close()
    received.close()


def test_a_table_goes_through_the_shared_memory(
    ends: tuple[socket.socket, socket.socket], sharing: tuple[Connection, Connection]
) -> None:
    table = pa.table({"x": range(100_000), "y": ["é"] * 100_000})

    sharing[0].send(("score", table), 1)
    waiting = len(ends[1].recv(1 << 20, socket.MSG_PEEK))
    name, found = sharing[1].receive(1, os.getpid(), 30)

    assert waiting < 1000
    assert name == "score"
    assert found.equals(table)


def test_an_answer_goes_through_the_socket(sharing: tuple[Connection, Connection]) -> None:
    sharing[1].send(pa.table({"x": range(1000)}), 1)

    assert sharing[0].receive(1, os.getpid(), 30).column("x").to_pylist() == list(range(1000))


@pytest.mark.parametrize("is_view", [True, False])
def test_a_table_is_a_view_of_the_shared_memory_only_where_the_receiver_allows_it(
    sharing: tuple[Connection, Connection], *, is_view: bool
) -> None:
    if is_view:
        sharing[1].may_view = lambda schema: schema.names == ["x"]
    received = []
    for table in (pa.table({"x": [1]}), pa.table({"y": [2]}), pa.table({"x": [3]})):
        sharing[0].send(table, 1)
        received.append(sharing[1].receive(1, os.getpid(), 5))

    assert received[0].column(0).to_pylist() == [3 if is_view else 1]
    assert received[1].column(0).to_pylist() == [2]


def test_of_two_tables_one_goes_through_the_shared_memory(sharing: tuple[Connection, Connection]) -> None:
    first, second = pa.table({"x": range(1000)}), pa.table({"y": range(500)})

    sharing[0].send([first, second], 1)

    assert sharing[1].receive(1, os.getpid(), 30) == [first, second]


def test_a_table_that_does_not_fit_goes_through_the_socket(sharing: tuple[Connection, Connection]) -> None:
    table = pa.table({"x": pa.nulls(LARGEST // 8 + 1, pa.int64())})
    thread = threading.Thread(target=sharing[0].send, args=(table, 1))

    thread.start()
    found = sharing[1].receive(1, os.getpid(), 30)
    thread.join()

    assert found.equals(table)


@pytest.mark.parametrize("message", [("files", "0", ("/in/é",), None, -1, 0.5, True), ["x" * 200_000, {"y": [1]}]])
def test_a_message_of_plain_values_comes_as_it_was_sent(
    message: object, sharing: tuple[Connection, Connection]
) -> None:
    thread = threading.Thread(target=sharing[0].send, args=(message, 1), kwargs={"has_only_plain_values": True})

    thread.start()
    found = sharing[1].receive(1, os.getpid(), 30)
    thread.join()

    assert found == message


@pytest.mark.parametrize("size", [1, 1000, (1 << 16) - 100, 1 << 16, 200_000])
def test_messages_that_have_come_together_are_read_one_by_one(
    ends: tuple[socket.socket, socket.socket], size: int
) -> None:
    sender, receiver = Connection(ends[0], TOKEN), Connection(ends[1], TOKEN)
    messages_sent = ["first", b"x" * size, "third", pa.table({"x": range(size // 8)}), "last"]

    def send() -> None:
        for number, message in enumerate(messages_sent):
            sender.send(message, number)

    thread = threading.Thread(target=send)
    thread.start()
    found = [receiver.receive(number, os.getpid(), 30) for number in range(len(messages_sent))]
    thread.join()

    assert found == messages_sent


def test_a_small_message_is_read_at_once(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    Connection(ends[0], TOKEN).send(("answer", pa.table({"x": range(100)})), 1)
    receiver, pieces = Connection(ends[1], TOKEN), []
    move = receiver._move_within

    def count(*arguments: Any) -> int:
        pieces.append(move(*arguments))
        return pieces[-1]

    monkeypatch.setattr(receiver, "_move_within", count)

    assert receiver.receive(1, os.getpid(), 5)[1].num_rows == 100
    assert len(pieces) == 1


def test_who_does_not_read_ahead_leaves_what_follows_the_message_in_the_socket(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    Connection(ends[0], TOKEN).send("x", 1)
    ends[0].sendall(b".")

    assert Connection(ends[1], TOKEN, reads_ahead=False).receive(1, os.getpid(), 5) == "x"
    assert ends[1].recv(100) == b"."


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


def header(size: int, *, sender: int | None = None) -> bytes:
    return struct.pack("!16sQQQ", TOKEN, 1, sender or os.getpid(), 1) + struct.pack("!Q", size)


@pytest.mark.parametrize("size", [100, 1 << 40, 1 << 62, (1 << 64) - 1])
def test_a_message_that_is_cut_off_is_lost_whatever_its_size(
    ends: tuple[socket.socket, socket.socket], size: int
) -> None:
    ends[0].sendall(header(size) + b"cut off")
    ends[0].close()

    with pytest.raises(ConnectionLostError):
        Connection(ends[1], TOKEN).receive(1, os.getpid(), 5)


def test_no_memory_is_taken_for_what_has_not_come(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_MOST_AWAITED", 3)
    monkeypatch.setattr(messages, "_SMALL", 64)
    content = pickle.dumps(list(range(100)))
    ends[0].sendall(header(len(content)) + content)

    assert Connection(ends[1], TOKEN).receive(1, os.getpid(), 5) == list(range(100))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(list(range(100)))[:50], pickle.dumps(1) * 2])
def test_a_message_whose_size_is_wrong_is_not_read(ends: tuple[socket.socket, socket.socket], content: bytes) -> None:
    ends[0].sendall(header(len(content)) + content)

    if content == pickle.dumps(1) * 2:  # what follows the object is ignored
        assert Connection(ends[1], TOKEN).receive(1, os.getpid(), 5) == 1
    else:
        with pytest.raises(UnreadableMessageError):
            Connection(ends[1], TOKEN).receive(1, os.getpid(), 5)


@pytest.mark.parametrize("is_view", [True, False])
@pytest.mark.parametrize("size", [-1, LARGEST + 1, 5])
def test_a_table_that_is_not_in_the_shared_memory_is_not_read(
    size: int, ends: tuple[socket.socket, socket.socket], sharing: tuple[Connection, Connection], *, is_view: bool
) -> None:
    sharing[1].may_view = lambda _: is_view

    class Liar(pickle.Pickler):
        def persistent_id(self, value: object) -> int | None:
            return size if value == "table" else None

    content = io.BytesIO()
    Liar(content, protocol=5).dump(["table"])
    ends[0].sendall(header(content.tell()) + content.getvalue())

    with pytest.raises(UnreadableMessageError):
        sharing[1].receive(1, os.getpid(), 5)
    ends[1].sendall(header(content.tell()) + content.getvalue())
    sharing[0].memory = None
    with pytest.raises(UnreadableMessageError):
        sharing[0].receive(1, os.getpid(), 5)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_process_that_is_killed_amid_its_answer_is_noticed(
    ends: tuple[socket.socket, socket.socket], share: float
) -> None:
    content, worker = pickle.dumps(b"x" * 100_000), os.getpid()
    child = os.fork()
    if not child:
        ends[1].sendall(header(len(content), sender=worker) + content[: int(share * len(content))])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    # This process holds the other end as well, so the socket does not show the death.
    connection = Connection(ends[0], TOKEN, is_other_alive=lambda: False)
    with pytest.raises(ConnectionLostError):
        connection.receive(1, os.getpid(), 30)
