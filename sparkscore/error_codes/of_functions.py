"""Explanations of the error codes for SQL functions. Runs on the driver."""

from __future__ import annotations

from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.error_codes.explanation import Explanation, Section

SECTIONS: Final = (
    Section(
        "The SQL function",
        "Errors of `register_function`, of queries that use the function, and of `sparkscore sql`.",
        {
            ErrorCode.SQL_ARGUMENTS: Explanation(
                "A query calls the function with an unknown argument, too many arguments, or without a required one.",
                "Correct the call; the message lists the arguments.",
            ),
            ErrorCode.SQL_ARGUMENT_TYPE: Explanation(
                "An argument has a type whose values the model's type cannot hold, such as a text for a number.",
                "Write the conversion into the query with `CAST`.",
            ),
            ErrorCode.SQL_ARGUMENT_VALUE: Explanation(
                "A value would change if it were converted to the model's type, such as a bigint beyond 2^53.",
                "Correct the row, or write the conversion into the query with `CAST`.",
            ),
            ErrorCode.SQL_DEFAULT: Explanation(
                "`sql.arguments` names an unknown argument, or a default does not fit the type of its argument.",
                "Correct `sql.arguments`.",
            ),
            ErrorCode.SQL_NAME: Explanation(
                "The name cannot be the name of an SQL function.",
                "Use letters, digits and underscores, and begin with a letter.",
            ),
            ErrorCode.SQL_NAME_TAKEN: Explanation(
                "Spark already has a function of this name, which the new one would hide.",
                "Choose another name.",
            ),
            ErrorCode.SQL_REFUSED: Explanation(
                "A client of `sparkscore sql-server` sent something else than a query, or a query that reads a path, "
                "calls Java, or changes a setting.",
                "Write a query, or ask the owner of the server for a table.",
            ),
            ErrorCode.SQL_RESULT: Explanation(
                "`sparkscore sql` cannot print the result as it is, such as an interval, or JSON with two equal names.",
                "Change the query as the message says.",
            ),
            ErrorCode.SQL_ROW: Explanation(
                "The scoring script or the model raised an exception for a row, and `sql.on_error` is `raise`.",
                "Correct the script or the rows, or set `on_error: column`.",
            ),
            ErrorCode.SQL_SERVER: Explanation(
                "`sparkscore sql-server` would be open to others, its port is taken, or its Spark is not its own.",
                "Follow the message.",
            ),
            ErrorCode.SQL_SIGNATURE: Explanation(
                "The arguments or the results of the function are not known, or two results have the same name.",
                "Add the lines in the message to the deployment, or log the model with a signature.",
            ),
            ErrorCode.SQL_STATEMENT: Explanation(
                "Spark does not understand the statement of `sparkscore sql`, or there is not exactly one.",
                "Correct the statement. The message has Spark's reason and the place.",
            ),
            ErrorCode.SQL_TIMEOUT: Explanation(
                "A statement of a client of `sparkscore sql-server` ran longer than `--timeout`.",
                "Ask for fewer rows, or start the server with a longer time.",
            ),
            ErrorCode.SQL_UNSUPPORTED: Explanation(
                "This kind of model, or this version of Spark with these types, cannot be an SQL function.",
                "Follow the message, or score the rows with a job.",
            ),
        },
    ),
)
