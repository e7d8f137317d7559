"""What the guard of the SQL server refuses, with Spark's parser. `tests/jobs` has a server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import ParseException
from pyspark.sql import SparkSession

from sparkscore.spark.jvm_thrift import make_guard
from sparkscore.sql.server import rules_for

ALLOWED = """
SELECT heart(age => a, bmi => b).risk FROM VALUES (1, 2) AS t(a, b)
SELECT * FROM heart_table(TABLE(patients) PARTITION BY clinic)
SELECT * FROM heart_table(TABLE(SELECT id AS age FROM range(9)))
WITH q AS (SELECT heart(id) p FROM range(2)) SELECT p.risk, row_number() OVER (ORDER BY p.risk) FROM q
SELECT k, count(*) FROM VALUES (1, 2) AS t(k, v) GROUP BY k HAVING count(*) > 1 ORDER BY 1 LIMIT 5
SELECT a.id FROM range(3) a LEFT JOIN range(2) b ON a.id = b.id WHERE a.id IN (SELECT id FROM t) UNION ALL SELECT 1
SELECT * FROM range(2) AS r(i), LATERAL (SELECT i + 1 AS j)
SELECT x FROM VALUES (1) AS v(x) LATERAL VIEW explode(array(1, 2)) e AS y
SELECT * FROM (SELECT 1 a, 2 b) PIVOT (sum(a) FOR b IN (2))
SELECT /*+ BROADCAST(t) */ * FROM catalog.db.t
SELECT 1 EXCEPT SELECT 2 INTERSECT SELECT 3
SELECT transform(array(1), x -> x + 1)
SELECT * FROM t VERSION AS OF 1
FROM t |> WHERE id > 0 |> SELECT id
SELECT '${env:HOME}'
VALUES (1)
TABLE t
USE default
SHOW TABLES
SHOW DATABASES
SHOW FUNCTIONS LIKE 'heart*'
DESCRIBE FUNCTION heart
DESCRIBE TABLE t
EXPLAIN SELECT heart(1)
SET TIME ZONE 'Asia/Tokyo'
SET spark.sql.session.timeZone=UTC
"""
REFUSED = """
ADD JAR '/etc/hostname'
ADD FILE '/etc/hostname'
LIST FILES
SELECT * FROM text.`/etc/hostname`
SELECT * FROM `s3a://bucket/x`
TABLE text.`/etc/hostname`
WITH a AS (SELECT * FROM text.`/etc/hostname`) SELECT * FROM a
SELECT (SELECT max(value) FROM text.`/etc/hostname`)
SELECT 1 WHERE EXISTS (SELECT 1 FROM text.`/etc/hostname`)
EXPLAIN SELECT * FROM text.`/etc/hostname`
SELECT * FROM IDENTIFIER('text.`/etc/hostname`')
SELECT * FROM IDENTIFIER(concat('te', 'xt'))
SELECT * FROM t WITH (path = '/etc/hostname')
SELECT * FROM heart_table(TABLE(SELECT * FROM text.`/etc/hostname`))
SELECT * FROM STREAM(t)
SELECT * FROM table_changes_by_path('/data/t', 1)
SELECT * FROM other_table(TABLE(t))
SELECT TRANSFORM (x) USING 'cat' AS (y STRING) FROM VALUES (1) AS v(x)
MAP x USING 'cat' AS y FROM t
SELECT reflect('java.lang.System', 'exit', 1)
SELECT `java_method`('java.lang.System', 'getenv', 'HOME')
SELECT transform(array(1), x -> try_reflect('java.lang.System', 'exit', x))
SELECT count(*) FILTER (WHERE builtin.reflect('a', 'b') = 'c')
CREATE TEMPORARY VIEW v AS SELECT 1
CREATE TEMPORARY VIEW v USING text OPTIONS (path '/etc/hostname')
CREATE TABLE t USING text LOCATION '/etc/hostname'
CREATE TABLE t AS SELECT 1
CREATE FUNCTION f AS 'java.lang.String'
CREATE TEMPORARY FUNCTION f() RETURNS INT RETURN 1
CREATE DATABASE d LOCATION '/tmp/d'
DROP TEMPORARY FUNCTION heart
DROP FUNCTION heart
DROP TABLE t
INSERT INTO t VALUES (1)
INSERT OVERWRITE DIRECTORY '/tmp/d' USING csv SELECT 1
LOAD DATA INPATH '/etc/hostname' INTO TABLE t
DELETE FROM t
UPDATE t SET a = 1
MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE
ALTER TABLE t ADD COLUMNS (x INT)
TRUNCATE TABLE t
CACHE TABLE t
CLEAR CACHE
REFRESH TABLE t
ANALYZE TABLE t COMPUTE STATISTICS
MSCK REPAIR TABLE t
DECLARE VARIABLE q INT DEFAULT 1
EXECUTE IMMEDIATE 'SELECT 1'
SHOW CREATE TABLE t
RESET
SET
SET -v
SET spark.sql.variable.substitute=true
SET spark.sql.thriftServer.queryTimeout=0
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.fixture(scope="module")
def message_of(spark: SparkSession) -> Callable[[str], str]:
    """Return a function that parses a statement, and returns the message of the error, or nothing."""
    session = spark._jsparkSession
    guard = make_guard(spark, rules_for(["heart", "heart_table"]), session)
    parser = guard.apply(session, session.sessionState().sqlParser())

    def parse(statement: str) -> str:
        try:
            parser.parsePlan(statement)
        except Py4JJavaError as error:
            return str(error.java_exception)
        except ParseException as error:
            return str(error)
        return ""

    return parse


@pytest.mark.each_spark
def test_queries_pass_the_guard(message_of: Callable[[str], str]) -> None:
    messages = {statement: message_of(statement) for statement in lines(ALLOWED)}

    assert {statement: message for statement, message in messages.items() if message} == {}


@pytest.mark.each_spark
def test_all_else_is_refused(message_of: Callable[[str], str]) -> None:
    messages = {statement: message_of(statement) for statement in lines(REFUSED)}

    refusal = "[SQL_REFUSED] the statement: got "
    assert {statement: message for statement, message in messages.items() if refusal not in message} == {}


@pytest.mark.each_spark
def test_a_session_with_a_setting_of_its_own_is_refused(spark: SparkSession) -> None:
    session = spark._jsparkSession
    guard = make_guard(spark, rules_for([]), session)
    other = session.newSession()
    parser = guard.apply(other, session.sessionState().sqlParser())
    parser.parsePlan("SELECT 1")
    other.conf().set("spark.sql.session.timeZone", "Asia/Tokyo")
    parser.parsePlan("SELECT 1")
    other.conf().set("spark.sql.runSQLOnFiles", "true")

    with pytest.raises(Py4JJavaError, match="a connection with the setting"):
        parser.parsePlan("SELECT 1")


def test_a_long_list_of_values_does_not_overflow_the_stack(message_of: Callable[[str], str]) -> None:
    assert message_of("VALUES " + ", ".join(f"({number})" for number in range(5000))) == ""
