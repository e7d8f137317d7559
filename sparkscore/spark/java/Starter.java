package sparkscore;

import java.io.IOException;
import java.lang.reflect.Field;
import java.net.URL;
import java.util.Enumeration;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.hive.thriftserver.HiveThriftServer2;
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

    public HiveThriftServer2 start(SparkSession session) throws Exception {
        // The loader that the statements of all sessions use.
        Field loader = session.sharedState().getClass().getDeclaredField("jarClassLoader");
        loader.setAccessible(true);
        loader.set(session.sharedState(), new NonClosableMutableURLClassLoader(this));
        Thread.currentThread().setContextClassLoader(this);
        try {
            // Without false, the JVM would exit if the server cannot start.
            return HiveThriftServer2.startWithSparkSession(session, false);
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
