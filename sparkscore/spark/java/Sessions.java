package sparkscore;

import java.lang.reflect.Field;
import java.util.Collection;
import java.util.HashSet;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import org.apache.hive.service.cli.CLIService;
import org.apache.hive.service.cli.HiveSQLException;
import org.apache.hive.service.cli.SessionHandle;
import org.apache.hive.service.cli.operation.OperationManager;
import org.apache.hive.service.cli.session.HiveSession;
import org.apache.hive.service.cli.session.SessionManager;
import org.apache.hive.service.rpc.thrift.TProtocolVersion;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.hive.thriftserver.HiveThriftServer2;
import org.apache.spark.sql.hive.thriftserver.SparkSQLSessionManager;

/**
 * Refuses connections that ask for settings before Hive sees them.
 *
 * <p>Hive would set what the URL of a connection says: properties of the JVM ({@code set:system:}), of the metastore
 * ({@code set:metaconf:}), and variables in which it replaces {@code ${env:NAME}}. The sessions themselves are those of the
 * server's own manager.
 */
public class Sessions extends SparkSQLSessionManager {
    private final SessionManager inner;
    private final Set allowed = new HashSet();

    /** Takes the place of the manager of a server that has not started. */
    public Sessions(HiveThriftServer2 server, SparkSession session, CLIService service, Collection settings)
            throws Exception {
        super(server, session);
        Field field = CLIService.class.getDeclaredField("sessionManager");
        field.setAccessible(true);
        this.inner = (SessionManager) field.get(service);
        field.set(service, this);
        allowed.add("use:database");
        Iterator each = settings.iterator();
        while (each.hasNext()) {
            allowed.add("set:hiveconf:" + each.next());
        }
    }

    public SessionHandle openSession(
            TProtocolVersion protocol, String user, String password, String address, Map settings,
            boolean isImpersonated, String token) throws HiveSQLException {
        Iterator each = settings == null ? new HashSet().iterator() : settings.keySet().iterator();
        while (each.hasNext()) {
            Object key = each.next();
            if (!allowed.contains(key)) {
                throw new HiveSQLException("[SQL_REFUSED] the connection: got the setting '" + key
                    + "', expected no settings but the time zone. It was not opened. Connect without it.");
            }
        }
        return inner.openSession(protocol, user, password, address, settings, isImpersonated, token);
    }

    public SessionHandle openSession(
            TProtocolVersion protocol, String user, String password, String address, Map settings)
            throws HiveSQLException {
        return openSession(protocol, user, password, address, settings, false, null);
    }

    public void closeSession(SessionHandle session) throws HiveSQLException {
        inner.closeSession(session);
    }

    public HiveSession getSession(SessionHandle session) throws HiveSQLException {
        return inner.getSession(session);
    }

    public OperationManager getOperationManager() {
        return inner.getOperationManager();
    }
}
