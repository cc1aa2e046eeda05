import java.io.File;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Processes made by ProcessBuilder: streams, places, environments, pipelines, ends. */
class Processes {
    static String run(ProcessBuilder builder) throws Exception {
        Process p = builder.start();
        p.getOutputStream().close();
        String text = new String(p.getInputStream().readAllBytes());
        return text.strip() + " " + p.waitFor();
    }

    public static void main(String[] args) throws Exception {
        Process p = new ProcessBuilder("sh", "-c", "read x; echo got $x; echo error >&2; exit 5").redirectErrorStream(true).start();
        p.getOutputStream().write("a line\n".getBytes());
        p.getOutputStream().close();
        System.out.print(new String(p.getInputStream().readAllBytes()));
        System.out.println(p.waitFor() + " " + p.isAlive());

        ProcessBuilder b = new ProcessBuilder("sh", "-c", "echo $V in $(pwd)");
        b.environment().put("V", "value");
        System.out.println(run(b.directory(new File("/usr"))));

        File out = new File("out.txt");
        System.out.println(run(new ProcessBuilder("printf", "c\\nb\\na\\n").redirectOutput(out)) + " " + out.length());
        System.out.println(run(new ProcessBuilder("wc", "-l").redirectInput(out)));

        List<Process> all = ProcessBuilder.startPipeline(List.of(new ProcessBuilder("cat", "out.txt"), new ProcessBuilder("sort"), new ProcessBuilder("head", "-n", "2")));
        System.out.print(new String(all.get(2).getInputStream().readAllBytes()));
        for (Process each : all) System.out.println(each.waitFor());

        try {
            new ProcessBuilder("/no/such/program").start();
        } catch (IOException e) {
            System.out.println(e.getMessage().contains("error=2"));
        }
        Process sleeper = new ProcessBuilder("sleep", "77").start();
        System.out.println(sleeper.waitFor(50, TimeUnit.MILLISECONDS));
        System.out.println(ProcessHandle.of(sleeper.pid()).isPresent() + " " + sleeper.toHandle().parent().get().equals(ProcessHandle.current()));
        sleeper.destroy();
        System.out.println(sleeper.waitFor());
        sleeper = new ProcessBuilder("sh", "-c", "trap '' TERM; while :; do sleep 1; done").start();
        System.out.println(sleeper.destroyForcibly().waitFor());

        int sum = 0;
        Process[] many = new Process[20];
        for (int i = 0; i < many.length; i++) many[i] = new ProcessBuilder("sh", "-c", "exit " + i).start();
        for (Process each : many) sum += each.waitFor();
        System.out.println("sum " + sum);
        var future = new ProcessBuilder("true").start().onExit();
        System.out.println("future " + future.get(10, TimeUnit.SECONDS).exitValue());
    }
}
