"""Say which settings the SQL server has and what its clients may do, and refuse a server that is open to others.

Runs on the driver. `sparkscore.sql.serving` starts the server.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.spark.jvm_thrift import GuardRules
from sparkscore.sql.names import TABLE

STATE: Final = "The server was not started."
LOOPBACK: Final = "127.0.0.1"
# Hive lets these override its settings.
_VARIABLES: Final = ("HIVE_SERVER2_THRIFT_BIND_HOST", "HIVE_SERVER2_THRIFT_PORT")
_NO_LOGIN: Final = ("NONE", "NOSASL")
# With FAIR, the tasks of all statements take turns. Otherwise, those of the first statement would come first.
_POOLS: Final = (
    '<?xml version="1.0"?><allocations><pool name="default"><schedulingMode>FAIR</schedulingMode></pool></allocations>'
)

#: The classes of Spark's plans that a statement may have: queries, and statements that list and describe.
NODES: Final = frozenset(
    """
    Aggregate CurrentNamespace CurrentNamespace$ DescribeColumn DescribeFunction DescribeQueryCommand DescribeRelation
    Distinct Except ExplainCommand Filter Generate GlobalLimit Intersect Join LateralJoin LocalLimit LocalRelation
    Offset OneRowRelation PipeOperator Pivot Project RelationTimeTravel Sample SetCatalogAndNamespace SetCommand
    SetNamespaceCommand ShowColumns ShowCurrentNamespace ShowCurrentNamespaceCommand ShowFunctions ShowNamespaces
    ShowNamespacesCommand ShowTables ShowViews Sort SubqueryAlias Union Unpivot UnresolvedFunctionName UnresolvedHaving
    UnresolvedHint UnresolvedInlineTable UnresolvedNamespace UnresolvedRelation UnresolvedSubqueryColumnAliases
    UnresolvedTVFAliases UnresolvedTableOrView UnresolvedTableValuedFunction UnresolvedWith Window WithWindowDefinition
    """.split()  # noqa: SIM905 - fifty words
)
#: The table functions that a statement may call, beside those of sparkscore. Others, such as Delta's, read files.
TABLE_FUNCTIONS: Final = frozenset(
    """
    collations explode explode_outer inline inline_outer json_tuple posexplode posexplode_outer range sql_keywords stack
    variant_explode variant_explode_outer
    """.split()  # noqa: SIM905 - a dozen words
)
#: The functions of Spark that call Java or read files.
REFUSED_FUNCTIONS: Final = (
    *("from_avro", "from_protobuf", "from_xml", "java_method", "reflect", "schema_of_avro", "schema_of_xml", "to_avro"),
    *("to_protobuf", "try_reflect"),
)
#: The settings that a client may change. Spark itself and the JDBC driver change all but the first.
SETTINGS: Final = (
    "spark.sql.session.timeZone",
    "hive.server2.thrift.resultset.default.fetch.size",
    "spark.sql.binaryOutputStyle",
    "spark.sql.datetime.java8API.enabled",
    "spark.sql.hive.version",
)


def rules_for(functions: Iterable[str]) -> GuardRules:
    """Return what clients may do.

    Args:
        functions: the names of the functions of sparkscore.
    """
    tables = frozenset(name.lower() for name in functions if name.endswith(TABLE))
    return GuardRules(NODES, TABLE_FUNCTIONS | tables, REFUSED_FUNCTIONS, SETTINGS)


@dataclass(frozen=True)
class ServerOptions:
    """What the owner of the server decides.

    Attributes:
        host: the address on which the server listens.
        port: the port, or 0 for one that is free.
        seconds: how long a statement may run.
        trusts_clients: whether the owner accepts what the server cannot keep clients from.
    """

    host: str = LOOPBACK
    port: int = 10000
    seconds: int = 3600
    trusts_clients: bool = False


def check_options(options: ServerOptions) -> None:
    """Raise an error if the owner has not accepted the limits of the server, or if a variable would move it.

    Raises:
        ConfigError: see above, or the host is no address.
    """
    if not options.trusts_clients:
        raise _refusal(
            "the clients of an SQL server",
            "nothing that says whether you trust them",
            "--trust-clients, because each can fill the driver's memory and keep Spark busy, and, without a login, "
            "every user of this machine can be one",
            "Read 'What the server cannot prevent' in docs/sql.md, and add --trust-clients.",
        )
    try:
        ipaddress.ip_address(options.host)
    except ValueError:
        raise _refusal("--host", f"'{options.host}'", "an IP address", f"Write one, such as {LOOPBACK}.") from None
    for name in _VARIABLES:
        if name in os.environ:
            raise _refusal(
                f"the environment variable {name}", "a value", "none, because Hive would listen there", "Unset it."
            )


def check_login(options: ServerOptions, authentication: str) -> None:
    """Raise an error if others could reach the server without a login.

    Args:
        options: the options of the server.
        authentication: ``hive.server2.authentication`` in the user's Hive configuration.

    Raises:
        ConfigError: the address is not of this machine only, and the server would believe any user name.
    """
    if ipaddress.ip_address(options.host).is_loopback or authentication not in _NO_LOGIN:
        return
    raise _refusal(
        f"the address {options.host}, which other machines may reach",
        f"hive.server2.authentication = {authentication}",
        "LDAP, KERBEROS, PAM or CUSTOM",
        f"Use --host {LOOPBACK}, or set the authentication in hive-site.xml or with "
        "--spark-conf spark.hadoop.hive.server2.authentication=LDAP.",
    )


def fixed_settings(options: ServerOptions) -> dict[str, str]:
    """Return the Spark settings without which the server would not be safe."""
    return {
        # The users of a login are no users of the file system: all statements run as the user of the server.
        "spark.hadoop.hive.server2.enable.doAs": "false",
        "spark.hadoop.hive.server2.thrift.bind.host": options.host,
        "spark.hadoop.hive.server2.thrift.port": str(options.port),
        "spark.hadoop.hive.server2.transport.mode": "binary",
        "spark.sql.hive.thriftServer.singleSession": "false",
        "spark.sql.runSQLOnFiles": "false",
        "spark.sql.thriftServer.queryTimeout": str(options.seconds),
        # Otherwise, '${env:NAME}' in a statement would be the value of the server's environment variable.
        "spark.sql.variable.substitute": "false",
    }


def default_settings(folder: Path) -> dict[str, str]:
    """Return the Spark settings that the owner may change with ``--spark-conf``.

    Args:
        folder: a folder for temporary files, in which the configuration of the scheduler is written.
    """
    pools = folder / "pools.xml"
    pools.write_text(_POOLS, encoding="utf-8")
    # Otherwise, of two clients that come first at the same time, one would fail to create a folder that exists.
    for name in ("local", "logs", "resources", "scratch"):
        (folder / name).mkdir()
    return {
        "spark.hadoop.hive.downloaded.resources.dir": str(folder / "resources"),
        "spark.hadoop.hive.exec.local.scratchdir": str(folder / "local"),
        "spark.hadoop.hive.exec.scratchdir": str(folder / "scratch"),
        # A session without statements for an hour is closed, and so is a result that nobody fetches.
        "spark.hadoop.hive.server2.idle.operation.timeout": "3600000",
        "spark.hadoop.hive.server2.idle.session.timeout": "3600000",
        # Impyla asks for the log of each statement.
        "spark.hadoop.hive.server2.logging.operation.log.location": str(folder / "logs"),
        "spark.hadoop.hive.server2.session.check.interval": "60000",
        "spark.scheduler.allocation.file": pools.as_uri(),
        "spark.scheduler.mode": "FAIR",
    }


def server_settings(options: ServerOptions, folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the Spark settings of the server.

    Args:
        options: the options of the server.
        folder: a folder for temporary files.
        given: the settings of ``--spark-conf``.

    Raises:
        ConfigError: one of the given settings is one that must not be changed.
    """
    fixed = fixed_settings(options)
    if changed := [key for key in given if key in fixed]:
        raise _refusal(
            f"--spark-conf {changed[0]}",
            "a setting that the server needs as it is",
            "other settings",
            "Leave it out; the address, the port and the time limit are --host, --port and --timeout.",
        )
    return {**default_settings(folder), **given, **fixed}


def check_address(options: ServerOptions, address: str) -> None:
    """Raise an error if the server listens on another address than the owner has chosen.

    Args:
        options: the options of the server.
        address: where it listens.

    Raises:
        ConfigError: a Hive configuration has moved it.
    """
    if ipaddress.ip_address(address) != ipaddress.ip_address(options.host):
        raise _refusal("the address of the server", address, options.host, "Look for it in hive-site.xml.")


def check_sessions(options: ServerOptions, settings: Mapping[str, str]) -> None:
    """Raise an error if the sessions of clients would not begin with the settings of the server.

    Args:
        options: the options of the server.
        settings: the settings of a new session.

    Raises:
        ConfigError: a setting differs, because Spark was running already.
    """
    for key, value in fixed_settings(options).items():
        if key.startswith("spark.sql.") and settings.get(key) != value:
            raise _refusal(
                f"Spark's setting {key}", str(settings.get(key)), value, "Start the server in a process of its own."
            )


def _refusal(what: str, got: str, expected: str, next_step: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.SQL_SERVER, what=what, got=got, expected=expected, state=STATE, next_step=next_step
    )
