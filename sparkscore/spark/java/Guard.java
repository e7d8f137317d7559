package sparkscore;

import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.TableIdentifier;
import org.apache.spark.sql.catalyst.analysis.UnresolvedFunction;
import org.apache.spark.sql.catalyst.analysis.UnresolvedRelation;
import org.apache.spark.sql.catalyst.analysis.UnresolvedTableValuedFunction;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.parser.ParseException;
import org.apache.spark.sql.catalyst.parser.ParserInterface;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.execution.command.SetCommand;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.StructType;

/**
 * Wraps the parser of each new session, so that clients of the SQL server can run queries and nothing else.
 *
 * <p>A statement may have only the nodes of a list, and a session may have only the settings of the server, except those
 * of another list. Janino compiles this text when the server starts. It knows no generics and no lambdas.
 */
public class Guard implements scala.Function2 {
    private final Set nodes;
    private final Set tableFunctions;
    private final Set functions;
    private final Set settings;
    private final Map fixed;

    /**
     * @param nodes the classes of plans that a statement may have, without their packages
     * @param tableFunctions the table functions that it may call
     * @param functions the functions that it may not call
     * @param settings the settings that a session may change
     * @param fixed all settings of a new session
     */
    public Guard(Collection nodes, Collection tableFunctions, Collection functions, Collection settings, Map fixed) {
        this.nodes = new HashSet(nodes);
        this.tableFunctions = new HashSet(tableFunctions);
        this.functions = new HashSet(functions);
        this.settings = new HashSet(settings);
        this.fixed = new HashMap(fixed);
    }

    /** Wraps a parser. Spark calls this for each new session, with the session and its parser. */
    public Object apply(Object session, Object parser) {
        return new Parser(this, (SparkSession) session, (ParserInterface) parser);
    }

    private static RuntimeException refusal(String got, String expected) {
        return new SecurityException("[SQL_REFUSED] the statement: got " + got + ", expected " + expected
            + ". It was not run. Write a query, or ask the owner of the server.");
    }

    // A client also sets settings by the URL of its connection, which no parser sees.
    void checkSettings(SparkSession session) {
        Iterator each = new HashMap(session.sessionState().conf().settings()).entrySet().iterator();
        while (each.hasNext()) {
            Map.Entry entry = (Map.Entry) each.next();
            if (!entry.getValue().equals(fixed.get(entry.getKey())) && !settings.contains(entry.getKey())) {
                throw refusal("a connection with the setting '" + entry.getKey() + "'", "no settings but the time zone");
            }
        }
    }

    void check(Object part) {
        String name = part == null ? "" : part.getClass().getName();
        if (part instanceof LogicalPlan && !nodes.contains(name.substring(name.lastIndexOf('.') + 1))) {
            throw refusal(name.substring(name.lastIndexOf('.') + 1), "a query, or SHOW, DESCRIBE, EXPLAIN, USE");
        }
        if (name.endsWith("WithUnresolvedIdentifier")) {
            throw refusal("IDENTIFIER of an expression", "names");
        }
        if (part instanceof UnresolvedFunction) {
            checkFunction(((UnresolvedFunction) part).nameParts(), false);
        } else if (part instanceof UnresolvedTableValuedFunction) {
            checkFunction((scala.collection.Iterable) ((scala.Product) part).productElement(0), true);
        } else if (part instanceof UnresolvedRelation) {
            checkTable((UnresolvedRelation) part);
        } else if (part instanceof SetCommand) {
            scala.Option pair = ((SetCommand) part).kv();
            if (pair.isEmpty() || !settings.contains(((scala.Tuple2) pair.get())._1())) {
                throw refusal("SET", "SET TIME ZONE");
            }
        }
        // A list is a product of its head and its tail, too: as such, a long one would overflow the stack.
        scala.collection.Iterator parts = null;
        if (part instanceof scala.collection.Iterable) {
            parts = ((scala.collection.Iterable) part).iterator();
        } else if (part instanceof scala.Product) {
            parts = ((scala.Product) part).productIterator();
        }
        while (parts != null && parts.hasNext()) {
            check(parts.next());
        }
    }

    private void checkFunction(scala.collection.Iterable names, boolean isTable) {
        Object last = null;
        scala.collection.Iterator each = names.iterator();
        while (each.hasNext()) {
            last = each.next();
        }
        String name = String.valueOf(last).toLowerCase(java.util.Locale.ROOT);
        if (isTable ? !tableFunctions.contains(name) : functions.contains(name)) {
            throw refusal("the function " + name, "a function that reaches neither files nor Java");
        }
    }

    private static void checkTable(UnresolvedRelation table) {
        scala.collection.Iterator each = table.multipartIdentifier().iterator();
        while (each.hasNext()) {
            String name = (String) each.next();
            if (name.indexOf('/') >= 0 || name.indexOf(':') >= 0) {
                throw refusal("a path", "the name of a table");
            }
        }
        // The options of a table may contain the path of another one.
        if (!table.options().isEmpty() || table.isStreaming()) {
            throw refusal("a table with options, or a stream", "the name of a table");
        }
    }

    /** A parser that refuses what its guard refuses. */
    public static class Parser implements ParserInterface {
        private final Guard guard;
        private final SparkSession session;
        private final ParserInterface inner;

        Parser(Guard guard, SparkSession session, ParserInterface inner) {
            this.guard = guard;
            this.session = session;
            this.inner = inner;
        }

        private LogicalPlan checked(LogicalPlan plan) {
            // While Hive opens a session, its own loader is here, which does not know the jars that Spark was given.
            Thread.currentThread().setContextClassLoader(session.sharedState().jarClassLoader());
            guard.checkSettings(session);
            guard.check(plan);
            return plan;
        }

        public LogicalPlan parsePlan(String text) throws ParseException {
            return checked(inner.parsePlan(text));
        }

        //4.1 public LogicalPlan parsePlanWithParameters(
        //4.1     String text, org.apache.spark.sql.catalyst.parser.ParameterContext values) throws ParseException {
        //4.1     return checked(inner.parsePlanWithParameters(text, values));
        //4.1 }

        public LogicalPlan parseQuery(String text) throws ParseException {
            return checked(inner.parseQuery(text));
        }

        public Expression parseExpression(String text) throws ParseException {
            return inner.parseExpression(text);
        }

        public TableIdentifier parseTableIdentifier(String text) throws ParseException {
            return inner.parseTableIdentifier(text);
        }

        public FunctionIdentifier parseFunctionIdentifier(String text) throws ParseException {
            return inner.parseFunctionIdentifier(text);
        }

        public scala.collection.immutable.Seq parseMultipartIdentifier(String text) throws ParseException {
            return inner.parseMultipartIdentifier(text);
        }

        public StructType parseRoutineParam(String text) throws ParseException {
            return inner.parseRoutineParam(text);
        }

        public StructType parseTableSchema(String text) throws ParseException {
            return inner.parseTableSchema(text);
        }

        public DataType parseDataType(String text) throws ParseException {
            return inner.parseDataType(text);
        }
    }
}
