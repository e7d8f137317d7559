package sparkscore;

import java.util.ArrayList;
import java.util.List;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerEvent;

/** Keeps what Spark's Thrift server says about its statements, until somebody asks. */
public class Statements extends SparkListener {
    private static final String OPERATION = "SparkListenerThriftServerOperation";
    private List events = new ArrayList();

    public synchronized void onOtherEvent(SparkListenerEvent event) {
        String kind = event.getClass().getSimpleName();
        if (kind.startsWith(OPERATION)) {
            scala.collection.Iterator values = ((scala.Product) event).productIterator();
            List parts = new ArrayList();
            parts.add(kind.substring(OPERATION.length()));
            while (values.hasNext()) {
                parts.add(String.valueOf(values.next()));
            }
            events.add(parts);
        }
    }

    /** Returns what has happened since the last call: for each event its kind, and its values as texts. */
    public synchronized List take() {
        List taken = events;
        events = new ArrayList();
        return taken;
    }
}
