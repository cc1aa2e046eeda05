# java's http server and client.
cat >It.java <<'JAVA'
import com.sun.net.httpserver.HttpServer;
import java.net.*;
import java.net.http.*;
import java.util.concurrent.*;

public class It {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 10);
        ExecutorService threads = Executors.newFixedThreadPool(4);
        server.setExecutor(threads);
        server.createContext("/", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            byte[] answer = (exchange.getRequestMethod() + " " + exchange.getRequestURI() + " " + body.length).getBytes();
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
        URI at = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/it");
        HttpClient client = HttpClient.newHttpClient();
        HttpRequest get = HttpRequest.newBuilder(at).build();
        System.out.println(client.send(get, HttpResponse.BodyHandlers.ofString()).body());
        HttpRequest post = HttpRequest.newBuilder(at).POST(HttpRequest.BodyPublishers.ofString("x".repeat(100000))).build();
        System.out.println(client.sendAsync(post, HttpResponse.BodyHandlers.ofString()).get().body());
        try {
            new Socket("127.0.0.1", 1);
        } catch (ConnectException e) {
            System.out.println(e.getMessage());
        }
        server.stop(0);
        threads.shutdown();
        System.exit(0);
    }
}
JAVA
java It.java
