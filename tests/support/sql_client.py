"""A client of the SQL server: python sql_client.py PORT DRIVER TASK, with the task's arguments as JSON on stdin.

It runs in an environment of its own, which has PyHive and impyla and nothing else, and prints JSON on stdout.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

PORT, DRIVER = int(sys.argv[1]), sys.argv[2]


def connect(settings: dict[str, str] | None = None) -> Any:
    if DRIVER == "impyla":
        from impala.dbapi import connect as open_connection

        return open_connection(host="127.0.0.1", port=PORT, auth_mechanism="PLAIN", user="ann", password="any")  # noqa: S106
    from pyhive import hive

    return hive.connect(host="127.0.0.1", port=PORT, username="ann", auth="NONE", configuration=settings)


def answer(cursor: Any, statement: str) -> Any:
    """Return the rows, or the message of the error."""
    try:
        cursor.execute(statement)
        return [list(row) for row in cursor.fetchall()] if cursor.description else []
    except Exception as error:  # noqa: BLE001 - each client has its own
        return str(error)


def ask(statements: list[str]) -> list[Any]:
    """Run statements in one session."""
    connection = connect()
    # Impyla opens a session for each cursor.
    cursor = connection.cursor()
    answers = [answer(cursor, statement) for statement in statements]
    connection.close()
    return answers


def opened(settings: list[dict[str, str]]) -> list[str]:
    """Open a connection with each of the settings, and return what the server says, or nothing."""
    answers = []
    for each in settings:
        try:
            connect(each).close()
            answers.append("")
        except Exception as error:  # noqa: BLE001 - of the driver
            answers.append(str(error))
    return answers


def crowd(statements: list[str]) -> list[Any]:
    """Run each statement in a session of its own, all at the same time."""
    answers: list[Any] = [None] * len(statements)

    def one(place: int) -> None:
        (answers[place],) = ask([statements[place]])

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(statements))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def cancel(statement: str, marks: str) -> str:
    """Run a statement, cancel it when the file of marks is there, and wait until it has ended."""
    cursor = connect().cursor()
    execute = getattr(cursor, "execute_async", None)
    cursor.execute(statement, async_=True) if execute is None else execute(statement)
    while not Path(marks).exists():
        time.sleep(0.1)
    cursor.cancel() if execute is None else cursor.cancel_operation()
    return "cancelled"


def hold(statement: str, *, wait: bool) -> None:
    """Run a statement until somebody ends this process: waiting for it, or asking for its state."""
    connection = connect()
    cursor = connection.cursor()
    if DRIVER == "impyla":
        cursor.execute_async(statement)
        # Another session in the same connection.
        answer(connection.cursor(), "SELECT 1")
    elif wait:
        cursor.execute(statement)
    else:
        cursor.execute(statement, async_=True)
    while True:
        cursor.status() if DRIVER == "impyla" else cursor.poll()
        time.sleep(0.2)


if __name__ == "__main__":
    task = {"ask": ask, "opened": opened, "crowd": crowd, "cancel": cancel, "hold": hold}[sys.argv[3]]
    print(json.dumps(task(**json.load(sys.stdin)), default=repr))  # type: ignore[operator] # noqa: T201
