"""Start Spark's Thrift server in the JVM of a classic session, with a guarded session for each client.

Runs on the driver. Spark has no interface for this, so its internal classes are used by name. The Java classes beside
this module are compiled by Janino, with which Spark compiles its own code: nothing has to be built or installed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from pyspark.sql import SparkSession

_ANALYSIS: Final = "org.apache.spark.sql.catalyst.analysis"
# Since Spark 4.2, the functions that Spark brings along have this catalog and database in their names.
_BUILTIN: Final = ("builtin", "system")


@dataclass(frozen=True)
class GuardRules:
    """What clients may do.

    Attributes:
        nodes: the classes of Spark's plans that a statement may have.
        table_functions: the table functions that a statement may call.
        refused_functions: the functions that no session has.
        settings: the settings that a session may change.
    """

    nodes: Collection[str]
    table_functions: Collection[str]
    refused_functions: Collection[str]
    settings: Collection[str]


class ThriftServer:
    """Spark's Thrift server in the JVM of this process. All calls are answered by the JVM."""

    def __init__(self, spark: SparkSession, settings: Collection[str]) -> None:
        """Start the server with the settings of the session, such as ``spark.hadoop.hive.server2.thrift.port``.

        Args:
            spark: the session.
            settings: the settings that a connection may ask for.

        Raises:
            Py4JError: it cannot start, for example because the port is taken.
        """
        session, starter = spark._jsparkSession, _instance(spark, "Starter")  # noqa: SLF001
        self._server = starter.prepare(session)
        command_line, self._thrift = _find(self._server, "SQLCLIService"), _find(self._server, "ThriftBinary")
        operations = _find(_find(command_line, "SessionManager"), "OperationManager")
        # What protects the server is there before it listens.
        _instance(spark, "Sessions", self._server, session, command_line, _java_list(spark, settings))
        self._connections = _instance(spark, "Connections", self._thrift, operations)
        self._statements = _instance(spark, "Statements")
        spark.sparkContext._jsc.sc().addSparkListener(self._statements)  # noqa: SLF001
        starter.start(self._server, session)

    @property
    def address(self) -> tuple[str, int]:
        """The address and the port on which the server listens."""
        return str(self._thrift.getServerIPAddress().getHostAddress()), int(self._thrift.getPortNumber())

    def cancel(self, port: int) -> int:
        """Cancel the statements of the client whose side of the connection has this port, and return their number."""
        return int(self._connections.cancel(port))

    def events(self) -> list[list[str]]:
        """Return what has happened to statements since the last call: the kind of each event, and its values."""
        return [list(event) for event in self._statements.take()]

    def stop(self) -> None:
        """Close the port and the sessions of all clients."""
        self._server.stop()


def authentication(spark: SparkSession) -> str:
    """Return how clients prove who they are, such as ``LDAP``, by the session's Hive configuration, or ``NONE``."""
    conf = spark._jsparkSession.sessionState().newHadoopConf()  # noqa: SLF001
    return str(conf.get("hive.server2.authentication", "NONE")).strip().upper() or "NONE"


def share_functions(spark: SparkSession, names: Iterable[str]) -> None:
    """Make temporary functions of a session known to all sessions that begin later in this JVM.

    Spark copies the functions of a new session from those that it brings along, so they are put there. No session can
    drop them for another one.

    Args:
        spark: the session.
        names: names of functions, also of table functions. The session need not have all of them.
    """
    state = spark._jsparkSession.sessionState()  # noqa: SLF001
    for name, registry in (
        ("FunctionRegistry", state.functionRegistry()),
        ("TableFunctionRegistry", state.tableFunctionRegistry()),
    ):
        builtin = _builtin(spark, name)
        known = registry.listFunction()
        found = {text.rpartition(".")[2]: place for place, text in enumerate(known.mkString("\n").split("\n"))}
        for each in {name.lower() for name in names} & set(found):
            identifier = known.apply(found[each])
            info, builder = registry.lookupFunction(identifier).get(), registry.lookupFunctionBuilder(identifier).get()
            builtin.registerFunction(_identifier(spark, each), info, builder)


def guard_new_sessions(spark: SparkSession, rules: GuardRules) -> Mapping[str, str]:
    """Let all sessions that begin later run only some statements, and return the settings with which they begin.

    The session itself stays as it is.
    """
    builtin = _builtin(spark, "FunctionRegistry")
    for name in rules.refused_functions:
        builtin.dropFunction(_identifier(spark, name))
    first = spark._jsparkSession.newSession()  # noqa: SLF001
    # Extensions such as Delta's set some settings with the first statement of a session.
    first.sql("SELECT 1").collect()
    spark._jsparkSession.extensions().injectParser(make_guard(spark, rules, first))  # noqa: SLF001
    return dict(first.sessionState().conf().settings())


def make_guard(spark: SparkSession, rules: GuardRules, session: Any) -> Any:
    """Return a guard whose ``apply(session, parser)`` returns a parser that refuses statements.

    Args:
        spark: the session.
        rules: what it lets pass.
        session: a session of the JVM, whose settings are those of each new session.
    """
    lists = [_java_list(spark, names) for names in astuple(rules)]
    return _instance(spark, "Guard", *lists, session.sessionState().conf().settings())


def _java_list(spark: SparkSession, texts: Iterable[str]) -> Any:
    made = spark._jvm.java.util.ArrayList()  # type: ignore[union-attr] # noqa: SLF001
    for text in texts:
        made.add(text)
    return made


def _module(jvm: Any, name: str) -> Any:
    """Return the only instance of an object of Scala."""
    found = jvm
    for part in f"{name}$".split("."):
        found = getattr(found, part)
    return getattr(found, "MODULE$")


def _builtin(spark: SparkSession, name: str) -> Any:
    return _module(spark._jvm, f"{_ANALYSIS}.{name}").builtin()  # noqa: SLF001


def _identifier(spark: SparkSession, name: str) -> Any:
    jvm: Any = spark._jvm  # noqa: SLF001
    is_plain = spark.version.startswith(("4.0.", "4.1."))
    parts = () if is_plain else (jvm.scala.Option.apply(part) for part in _BUILTIN)
    return jvm.org.apache.spark.sql.catalyst.FunctionIdentifier(name, *parts)


def _find(service: Any, name: str) -> Any:
    """Return the part of a service of Hive whose class has this in its name."""
    return next(each for each in service.getServices() if name in str(each.getClass().getSimpleName()))


def _instance(spark: SparkSession, name: str, *arguments: Any) -> Any:
    """Return an instance of a Java class of this package."""
    gateway: Any = spark.sparkContext._gateway  # noqa: SLF001
    given = gateway.new_array(gateway.jvm.java.lang.Object, len(arguments))
    for place, argument in enumerate(arguments):
        given[place] = argument
    return _class(gateway, name, is_first=spark.version.startswith("4.0.")).getConstructors()[0].newInstance(given)


@cache
def _class(gateway: Any, name: str, *, is_first: bool) -> Any:
    """Compile a Java class of this package, once for each JVM: Py4J takes classes of the same name for the same."""
    source = (files("sparkscore.spark") / "java" / f"{name}.java").read_text(encoding="utf-8")
    if not is_first:
        source = source.replace("//4.1 ", "")
    compiler = gateway.jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(gateway.jvm.java.lang.Thread.currentThread().getContextClassLoader())
    compiler.cook(source)
    return compiler.getClassLoader().loadClass(f"sparkscore.{name}")
