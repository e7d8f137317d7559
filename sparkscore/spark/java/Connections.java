package sparkscore;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.hive.service.cli.operation.Operation;
import org.apache.hive.service.cli.thrift.ThriftCLIService;
import org.apache.spark.sql.hive.thriftserver.server.SparkSQLOperationManager;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.server.ServerContext;
import org.apache.thrift.server.TServerEventHandler;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransport;

/**
 * Knows which client, by the port of its side of the connection, has which session.
 *
 * <p>Spark closes the session of a connection that has ended, but only when the thread of the connection reads from it,
 * which it does not while it runs a statement. So somebody else has to cancel that statement.
 */
public class Connections implements TServerEventHandler {
    private final TServerEventHandler inner;
    private final SparkSQLOperationManager operations;
    private final Map ports = new ConcurrentHashMap();
    // Some clients, such as impyla, open several sessions in one connection, whose context knows the last one only.
    private final Map sessions = new ConcurrentHashMap();

    /** Takes the place of the handler of a server that has not started, and calls that. */
    public Connections(ThriftCLIService service, SparkSQLOperationManager operations) throws Exception {
        Field handler = ThriftCLIService.class.getDeclaredField("serverEventHandler");
        handler.setAccessible(true);
        this.inner = (TServerEventHandler) handler.get(service);
        this.operations = operations;
        handler.set(service, this);
    }

    public void preServe() {
        inner.preServe();
    }

    public ServerContext createContext(TProtocol in, TProtocol out) {
        ServerContext context = inner.createContext(in, out);
        try {
            TTransport transport = in.getTransport();
            while (!(transport instanceof TSocket)) {
                transport = (TTransport) call(transport, "getUnderlyingTransport");
            }
            ports.put(context, Integer.valueOf(((TSocket) transport).getSocket().getPort()));
        } catch (Exception unknown) {
            // The statements of this connection end by the time limit only.
            ports.put(context, Integer.valueOf(-1));
        }
        sessions.put(context, ConcurrentHashMap.newKeySet());
        return context;
    }

    /** Forgets a connection that has ended. Its statements end with it, whatever their session. */
    public void deleteContext(ServerContext context, TProtocol in, TProtocol out) {
        try {
            cancelAll(sessionsOf(context));
        } catch (Exception alreadyEnded) {
            // A statement may end while it is cancelled.
        }
        ports.remove(context);
        sessions.remove(context);
        inner.deleteContext(context, in, out);
    }

    /** Notes the session that the connection has before its next request. */
    public void processContext(ServerContext context, TTransport in, TTransport out) {
        try {
            sessionsOf(context);
        } catch (Exception unknown) {
            // As above: the time limit is left.
        }
        inner.processContext(context, in, out);
    }

    private Set sessionsOf(Object context) throws Exception {
        Set known = (Set) sessions.get(context);
        Object last = call(context, "getSessionHandle");
        if (known != null && last != null) {
            known.add(last);
        }
        return known;
    }

    private static Object call(Object object, String name) throws Exception {
        Method method = object.getClass().getMethod(name, new Class[0]);
        method.setAccessible(true);
        return method.invoke(object, new Object[0]);
    }

    /** Cancels the statements that run for the client with this port, and returns how many there were. */
    public int cancel(int port) throws Exception {
        int cancelled = 0;
        Iterator each = ports.entrySet().iterator();
        while (each.hasNext()) {
            Map.Entry entry = (Map.Entry) each.next();
            if (((Integer) entry.getValue()).intValue() == port) {
                cancelled += cancelAll(sessionsOf(entry.getKey()));
            }
        }
        return cancelled;
    }

    private int cancelAll(Set theirs) throws Exception {
        int cancelled = 0;
        Iterator each = new ArrayList(operations.handleToOperation().values()).iterator();
        while (theirs != null && each.hasNext()) {
            Operation statement = (Operation) each.next();
            boolean isTheirs = theirs.contains(statement.getParentSession().getSessionHandle());
            if (isTheirs && !statement.getStatus().getState().isTerminal()) {
                operations.cancelOperation(statement.getHandle());
                cancelled++;
            }
        }
        return cancelled;
    }
}
