import java.io.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.util.*;
import java.util.regex.*;
import java.util.zip.InflaterInputStream;
import static java.nio.charset.StandardCharsets.UTF_8;

/** Run it as it stands: `java Classify.java`. It needs the JDK alone. */
public class Classify {
    static final String PREFIX = System.getenv().getOrDefault("SEQD_PREFIX", "seqd");
    static final Set<String> ENDED =
        Set.of("completed", "failed", "cancelled", "expired", "rejected");
    static final Pattern EVENT = Pattern.compile("\"event\":\"(\\w+)\"");

    public static void main(String[] arguments) throws Exception {
        var url = System.getenv("SEQD_REDIS_URL"); // redis://… or unix://…
        if (url == null) {
            System.err.println(
                "Set SEQD_REDIS_URL, to redis://… or to the `url` in seqd's redis/endpoint.json.");
            System.exit(2);
        }
        var redis = new Redis(URI.create(url));
        var id = submit(redis, """
            {"kind": "classify", "model": "imdb_lstm", "source": {"type": "inline", "items": [
              {"custom_id": "r1", "text": "A wonderful film, moving and beautifully acted."},
              {"custom_id": "r2", "text": "Dull, badly written, a waste of two hours."}]}}""");
        follow(redis, id);
        results(redis, id);
    }

    /** Hand a job in; sent twice, the same identifier makes it once. */
    static String submit(Redis redis, String job) throws Exception {
        var id = UUID.randomUUID().toString();
        redis.ask("XADD", PREFIX + ":inbox", "*", "id", id, "job", job);
        return id;
    }

    /** Print the events of a job up to its last, each once, over lost connections too. */
    static void follow(Redis redis, String id) throws Exception {
        var key = PREFIX + ":job:{" + id + "}";
        var last = "0";
        while (true) {
            var reply = redis.ask("XREAD", "BLOCK", "5000", "STREAMS", key + ":events", last);
            // The events of a small job go half a minute after its end.
            if (reply == null && ENDED.contains(text(redis.ask("HGET", key, "state")))) return;
            if (reply == null) continue;
            var stream = (List<?>) ((List<?>) reply).get(0); // its name, its entries
            for (var entry : (List<?>) stream.get(1)) {
                last = text(((List<?>) entry).get(0));
                var event = text(((List<?>) ((List<?>) entry).get(1)).get(1)); // of the field `e`
                System.out.println(event);
                var kind = EVENT.matcher(event);
                if (kind.find() && ENDED.contains(kind.group(1))) return;
            }
        }
    }

    /** Print the results of a job that has ended, in input order, a line of JSON each. */
    static void results(Redis redis, String id) throws Exception {
        var key = PREFIX + ":job:{" + id + "}";
        var small = new ByteArrayOutputStream();
        for (int more = 0; more < 8; more++) {
            var part = (byte[]) redis.ask("HGET", key, "results" + (more == 0 ? "" : "+" + more));
            if (part != null) small.write(part);
        }
        if (small.size() > 0) {
            print(small.toByteArray());
            return;
        }
        var units = redis.ask("HGET", key, "units");
        for (int unit = 0; units != null && unit < Integer.parseInt(text(units)); unit++) {
            var row = "" + unit;
            for (int more = 1; ; more++) {
                var packed = (byte[]) redis.ask("HGET", key + ":out", row);
                if (packed == null) break;
                print(packed);
                row = unit + "+" + more;
            }
        }
    }

    static void print(byte[] packed) throws IOException {
        var inflated = new InflaterInputStream(new ByteArrayInputStream(packed));
        System.out.print(new String(inflated.readAllBytes(), UTF_8));
    }

    static String text(Object reply) {
        return reply == null ? "" : new String((byte[]) reply, UTF_8);
    }

    /** A connection that is made again when it is lost: in an application, Jedis or Lettuce. */
    static class Redis {
        private final URI server;
        private SocketChannel socket;
        private DataInputStream input;

        Redis(URI server) {
            this.server = server;
        }

        /** Ask until Redis answers; returns bytes, a list, a number, or null. */
        Object ask(String... words) throws Exception {
            while (true) {
                try {
                    if (socket == null) connect();
                    return send(words);
                } catch (IOException lost) {
                    if (socket != null) socket.close();
                    socket = null;
                    Thread.sleep(200);
                }
            }
        }

        private void connect() throws IOException {
            var port = server.getPort() < 0 ? 6379 : server.getPort();
            socket = SocketChannel.open(server.getScheme().equals("unix")
                ? UnixDomainSocketAddress.of(server.getPath())
                : new InetSocketAddress(server.getHost(), port));
            input = new DataInputStream(new BufferedInputStream(Channels.newInputStream(socket)));
            var place = server.getAuthority(); // user:password@host:port
            if (place == null || !place.contains("@")) return;
            var login = place.substring(0, place.lastIndexOf('@')).split(":", 2);
            send("AUTH", login[0].isEmpty() ? "default" : login[0], login[1]);
        }

        private Object send(String... words) throws IOException {
            var request = new ByteArrayOutputStream();
            request.write(("*" + words.length + "\r\n").getBytes(UTF_8));
            for (var word : words) {
                var content = word.getBytes(UTF_8);
                request.write(("$" + content.length + "\r\n").getBytes(UTF_8));
                request.write(content);
                request.write("\r\n".getBytes(UTF_8));
            }
            var bytes = ByteBuffer.wrap(request.toByteArray());
            while (bytes.hasRemaining()) socket.write(bytes);
            return read();
        }

        private Object read() throws IOException {
            var line = new StringBuilder();
            for (int next; (next = input.readUnsignedByte()) != '\n'; ) line.append((char) next);
            var rest = line.substring(1).trim();
            switch (line.charAt(0)) {
                case '-':
                    throw new IllegalStateException(rest); // an answer, such as OOM
                case '$': {
                    int length = Integer.parseInt(rest);
                    if (length < 0) return null;
                    var content = new byte[length];
                    input.readFully(content);
                    input.skipNBytes(2);
                    return content;
                }
                case '*': {
                    int length = Integer.parseInt(rest);
                    if (length < 0) return null;
                    var list = new ArrayList<Object>();
                    for (int at = 0; at < length; at++) list.add(read());
                    return list;
                }
                case ':':
                    return Long.parseLong(rest);
                default:
                    return rest.getBytes(UTF_8);
            }
        }
    }
}
