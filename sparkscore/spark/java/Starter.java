package sparkscore;

import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.URL;
import java.util.Enumeration;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.hive.HiveUtils$;
import org.apache.spark.sql.hive.thriftserver.HiveThriftServer2;
import org.apache.spark.sql.hive.thriftserver.HiveThriftServer2$;
import org.apache.spark.sql.internal.NonClosableMutableURLClassLoader;

/**
 * Starts Spark's Thrift server.
 *
 * <p>Hive closes the class loaders of a session that ends, up to that of its own classes. Between them is that of the jars
 * which were given to Spark, such as Delta's, whose classes could then no longer be loaded by any session. A loader
 * that does not name its parent ends Hive's search.
 */
public class Starter extends ClassLoader {
    private final ClassLoader inner;

    public Starter() {
        super(null);
        this.inner = Thread.currentThread().getContextClassLoader();
    }

    /** Returns a server that does not listen yet. */
    public HiveThriftServer2 prepare(SparkSession session) throws Exception {
        // The loader that the statements of all sessions use.
        Field loader = session.sharedState().getClass().getDeclaredField("jarClassLoader");
        loader.setAccessible(true);
        loader.set(session.sharedState(), new NonClosableMutableURLClassLoader(this));
        Thread.currentThread().setContextClassLoader(this);
        try {
            // Otherwise, the JVM would exit if the server cannot start.
            HiveThriftServer2$.MODULE$.systemExitOnError().set(false);
            HiveThriftServer2 server = new HiveThriftServer2(session);
            server.init(
                HiveUtils$.MODULE$.newClientForExecution(
                    session.sparkContext().conf(), session.sessionState().newHadoopConf()).conf());
            return server;
        } finally {
            Thread.currentThread().setContextClassLoader(inner);
        }
    }

    /** Lets a server listen, as Spark does it: with what it says about statements. */
    public void start(HiveThriftServer2 server, SparkSession session) throws Exception {
        Method events = HiveThriftServer2$.class.getDeclaredMethod(
            "createListenerAndUI", new Class[] {HiveThriftServer2.class, SparkContext.class});
        events.setAccessible(true);
        events.invoke(HiveThriftServer2$.MODULE$, new Object[] {server, session.sparkContext()});
        Thread.currentThread().setContextClassLoader(this);
        try {
            server.start();
        } finally {
            Thread.currentThread().setContextClassLoader(inner);
        }
    }

    protected Class loadClass(String name, boolean resolve) throws ClassNotFoundException {
        return inner.loadClass(name);
    }

    public URL getResource(String name) {
        return inner.getResource(name);
    }

    public Enumeration getResources(String name) throws IOException {
        return inner.getResources(name);
    }
}
