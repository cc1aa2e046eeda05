//! Lines with `docker run` as they stand in public READMEs and manuals, and what LiteBox takes them to mean. The image
//! is in the program's place: whoever types such a line for LiteBox writes a program there, or names the image by
//! `--rootfs`.

use std::ffi::OsStr;
use std::fmt::Write;

use clap::Parser;

use super::Options;
use crate::mounts::volume::{self, Bases, Volume, What};
use crate::{Cli, Command};

/// The words of a line, as a shell in /here would pass them on, for user 1000 whose home is /home/me.
fn words(line: &str) -> Vec<String> {
    let replaced = [
        ("\\\n", " "),
        ("$(pwd)", "/here"),
        ("`pwd`", "/here"),
        ("${PWD}", "/here"),
        ("$PWD", "/here"),
        ("$(id -u)", "1000"),
        ("$(id -g)", "1000"),
        ("`id -u`", "1000"),
        ("`id -g`", "1000"),
        ("${HOME}", "/home/me"),
        ("$HOME", "/home/me"),
        (" ~/", " /home/me/"),
    ];
    let line = replaced.iter().fold(line.to_string(), |line, (from, to)| line.replace(from, to));
    let (mut all, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (None, ' ') => {
                if begun {
                    all.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        all.push(word);
    }
    all
}

/// What a line means, in a few words; or the first line of why it is refused.
fn meaning(line: &str) -> String {
    let words = words(line);
    let behind = words.iter().position(|word| word == "run").map_or(0, |at| at + 1);
    let words = ["litebox", "run"].into_iter().chain(words[behind..].iter().map(String::as_str));
    let options = match Cli::try_parse_from(words) {
        Ok(Cli { command: Command::Run(options) }) => options,
        Ok(_) => return "another subcommand".into(),
        Err(e) => return format!("refused: {}", e.to_string().lines().next().unwrap_or_default()),
    };
    match &options.refused.0 {
        Some(why) => format!("refused: {}", why.split(": ").next().unwrap_or_default()),
        None => summary(&options),
    }
}

fn text(os: &OsStr) -> String {
    os.to_string_lossy().into_owned()
}

fn shown(volume: Result<Volume, String>) -> String {
    let volume = match volume {
        Ok(volume) => volume,
        Err(why) => return format!("({why})"),
    };
    let what = match &volume.what {
        What::Host { path, create } => format!("{}{}", path.display(), if *create { "+" } else { "" }),
        What::Kept(name) => format!("kept {name}"),
        What::Memory { permissions, size } => format!("memory {permissions:o} {size}"),
    };
    let no_exec = if volume.no_exec { " noexec" } else { "" };
    format!("[{what} > {} {:?}{no_exec}]", volume.to.display(), volume.access)
}

fn summary(options: &Options) -> String {
    let (files, process) = (&options.files, &options.process);
    let bases = Bases { host: "/here".into(), sandbox: "/here".into() };
    let mut out = String::new();
    for (flag, name) in [
        (process.rm, "rm"),
        (process.interactive, "i"),
        (process.tty, "t"),
        (process.detach, "d"),
        (process.init, "init"),
        (files.read_only, "read-only"),
    ] {
        if flag {
            let _ = write!(out, "{name} ");
        }
    }
    let mut put = |name: &str, value: String| {
        let _ = write!(out, "{name}={value} ");
    };
    let mounts = files.volume.iter().map(|one| volume::parse_volume(one, &bases));
    let mounts = mounts.chain(files.mount.iter().map(|one| volume::parse_mount(one, &bases)));
    for volume in mounts.chain(files.tmpfs.iter().map(|one| volume::parse_tmpfs(one, &bases))) {
        put("v", shown(volume));
    }
    process.workdir.iter().for_each(|dir| put("w", dir.display().to_string()));
    if let Some(user) = &process.user {
        put("u", format!("{}:{}", name(&user.user), user.group.as_ref().map(name).unwrap_or_default()));
    }
    process.group_add.iter().for_each(|group| put("group", name(group)));
    process.env.iter().for_each(|item| put("e", text(item)));
    process.env_file.iter().for_each(|file| put("env-file", file.display().to_string()));
    process.cap_drop.iter().for_each(|set| put("drop", format!("{:x}", set.0)));
    process.cap_add.iter().for_each(|set| put("add", format!("{:x}", set.0)));
    process.entrypoint.iter().for_each(|program| put("entrypoint", text(program)));
    process.add_host.iter().for_each(|host| put("host", format!("{}@{}", host.name, host.address)));
    options.network.dns.iter().for_each(|server| put("dns", server.clone()));
    options.network.publish.iter().for_each(|port| put("p", port.clone()));
    options.network.net.iter().filter(|net| *net != "none").for_each(|net| put("net", net.clone()));
    process.stop_signal.iter().for_each(|signal| put("stop", signal.to_string()));
    process.cidfile.iter().for_each(|file| put("cid", file.display().to_string()));
    process.label.iter().for_each(|label| put("label", text(label)));
    process.name.iter().for_each(|name| put("name", name.clone()));
    files.shm_size.iter().for_each(|size| put("shm", size.to_string()));
    Some(options.limits.memory()).filter(|size| *size != 0).iter().for_each(|size| put("memory", size.to_string()));
    let command: Vec<String> = options.command().iter().map(|word| text(word)).collect();
    out + "| " + &command.join(" ")
}

fn name(who: &litebox_shim_linux::boot::NameOrId) -> String {
    match who {
        litebox_shim_linux::boot::NameOrId::Id(id) => id.to_string(),
        litebox_shim_linux::boot::NameOrId::Name(name) => String::from_utf8_lossy(name).into_owned(),
    }
}

const LINES: &[(&str, &str)] = &[
    // Linters and formatters.
    (
        "docker run --rm -v \"$PWD:/mnt\" koalaman/shellcheck:stable myscript",
        "rm v=[/here > /mnt ReadWrite] | koalaman/shellcheck:stable myscript",
    ),
    ("docker run --rm -i hadolint/hadolint", "rm i | hadolint/hadolint"),
    (
        "docker run --rm -t -v $(pwd):/app -w /app golangci/golangci-lint:v2.0.0 golangci-lint run",
        "rm t v=[/here > /app ReadWrite] w=/app | golangci/golangci-lint:v2.0.0 golangci-lint run",
    ),
    (
        "docker run -v $PWD:/workdir ghcr.io/igorshubovych/markdownlint-cli:latest \"**/*.md\"",
        "v=[/here > /workdir ReadWrite] | ghcr.io/igorshubovych/markdownlint-cli:latest **/*.md",
    ),
    (
        "docker run -e LOG_LEVEL=DEBUG -e RUN_LOCAL=true -v /path/to/local/codebase:/tmp/lint --rm ghcr.io/super-linter/super-linter:latest",
        "rm v=[/path/to/local/codebase > /tmp/lint ReadWrite] e=LOG_LEVEL=DEBUG e=RUN_LOCAL=true | ghcr.io/super-linter/super-linter:latest",
    ),
    (
        "docker run --rm -v \"${PWD}:/src\" semgrep/semgrep semgrep --config=auto",
        "rm v=[/here > /src ReadWrite] | semgrep/semgrep semgrep --config=auto",
    ),
    (
        "docker run --rm -v \"$(pwd):/work\" tmknom/prettier --parser=markdown --write '**/*.md'",
        "rm v=[/here > /work ReadWrite] | tmknom/prettier --parser=markdown --write **/*.md",
    ),
    (
        "docker run --init -v $PWD:/mnt/src --rm -u \"$(id -u):$(id -g)\" frbit/phpco:latest",
        "rm init v=[/here > /mnt/src ReadWrite] u=1000:1000 | frbit/phpco:latest",
    ),
    (
        "docker run --rm -u $(id -u):$(id -g) -v $(pwd):/workspace bearer/bearer scan /workspace/back --format json",
        "rm v=[/here > /workspace ReadWrite] u=1000:1000 | bearer/bearer scan /workspace/back --format json",
    ),
    // Tools for one file.
    ("docker run --rm -i mikefarah/yq '.this.thing'", "rm i | mikefarah/yq .this.thing"),
    (
        "docker run --rm --security-opt=no-new-privileges --cap-drop all --network none -v \"${PWD}\":/workdir mikefarah/yq '.a.b[0].c' file.yaml",
        "rm v=[/here > /workdir ReadWrite] drop=ffffffffffffffff | mikefarah/yq .a.b[0].c file.yaml",
    ),
    ("docker run --rm -i ghcr.io/jqlang/jq:latest '.version'", "rm i | ghcr.io/jqlang/jq:latest .version"),
    (
        "docker run --rm --volume \"`pwd`:/data\" --user `id -u`:`id -g` pandoc/latex README.md -o outfile.pdf",
        "rm v=[/here > /data ReadWrite] u=1000:1000 | pandoc/latex README.md -o outfile.pdf",
    ),
    (
        "docker run -ti --rm -v ${HOME}:/root -v $(pwd):/git alpine/git clone https://github.com/alpine-docker/git.git",
        "rm i t v=[/home/me > /root ReadWrite] v=[/here > /git ReadWrite] | alpine/git clone https://github.com/alpine-docker/git.git",
    ),
    (
        "docker run --rm -v \"${PWD}:/local\" openapitools/openapi-generator-cli generate -i https://petstore.example/v2.yaml -g go -o /local/out/go",
        "rm v=[/here > /local ReadWrite] | openapitools/openapi-generator-cli generate -i https://petstore.example/v2.yaml -g go -o /local/out/go",
    ),
    (
        "docker run --rm -v $PWD:$PWD --user $(id -u):$(id -g) ygidtu/sashimi --help",
        "rm v=[/here > /here ReadWrite] u=1000:1000 | ygidtu/sashimi --help",
    ),
    (
        "docker run --rm -v $HOME/Library/Caches:/root/.cache/ aquasec/trivy:latest image python:3.4-alpine",
        "rm v=[/home/me/Library/Caches > /root/.cache ReadWrite] | aquasec/trivy:latest image python:3.4-alpine",
    ),
    (
        "docker run --rm -it -v ~/.aws:/root/.aws amazon/aws-cli s3 ls",
        "rm i t v=[/home/me/.aws > /root/.aws ReadWrite] | amazon/aws-cli s3 ls",
    ),
    (
        "docker run --rm -it -v \"$PWD:/data\" dokfest filme.txt",
        "rm i t v=[/here > /data ReadWrite] | dokfest filme.txt",
    ),
    ("docker run -i -t hashicorp/terraform:latest plan", "i t | hashicorp/terraform:latest plan"),
    (
        "docker run --entrypoint htpasswd httpd:2 -Bbn USERNAME PASSWORD",
        "entrypoint=htpasswd | htpasswd httpd:2 -Bbn USERNAME PASSWORD",
    ),
    // Languages: compilers, package managers, scripts.
    (
        "docker run --rm -v \"$PWD\":/usr/src/myapp -w /usr/src/myapp golang:1.14 go build -v",
        "rm v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp | golang:1.14 go build -v",
    ),
    (
        "docker run --rm -v \"$PWD\":/usr/src/myapp -w /usr/src/myapp -e GOOS=windows -e GOARCH=386 golang:1.14 go build -v",
        "rm v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp e=GOOS=windows e=GOARCH=386 | golang:1.14 go build -v",
    ),
    (
        "docker run -it --rm --name my-running-script -v \"$PWD\":/usr/src/myapp -w /usr/src/myapp python:3 python your-daemon-or-script.py",
        "rm i t v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp name=my-running-script | python:3 python your-daemon-or-script.py",
    ),
    (
        "docker run -it --rm --name my-running-script -v \"$PWD\":/usr/src/app -w /usr/src/app node:8 node your-daemon-or-script.js",
        "rm i t v=[/here > /usr/src/app ReadWrite] w=/usr/src/app name=my-running-script | node:8 node your-daemon-or-script.js",
    ),
    (
        "docker run -it --rm --name my-running-script -v \"$PWD\":/usr/src/myapp -w /usr/src/myapp ruby:2.5 ruby your-daemon-or-script.rb",
        "rm i t v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp name=my-running-script | ruby:2.5 ruby your-daemon-or-script.rb",
    ),
    (
        "docker run -it --rm --name my-running-script -v \"$PWD\":/usr/src/myapp -w /usr/src/myapp perl:5.34 perl your-daemon-or-script.pl",
        "rm i t v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp name=my-running-script | perl:5.34 perl your-daemon-or-script.pl",
    ),
    (
        "docker run -it --rm --name my-running-script -v \"$PWD\":/usr/src/myapp -w /usr/src/myapp php:8.2-cli php your-script.php",
        "rm i t v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp name=my-running-script | php:8.2-cli php your-script.php",
    ),
    (
        "docker run --rm --user \"$(id -u)\":\"$(id -g)\" -v \"$PWD\":/usr/src/myapp -w /usr/src/myapp rust:1.23.0 cargo build --release",
        "rm v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp u=1000:1000 | rust:1.23.0 cargo build --release",
    ),
    (
        "docker run --rm -v \"$PWD\":/usr/src/myapp -w /usr/src/myapp gcc:4.9 gcc -o myapp myapp.c",
        "rm v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp | gcc:4.9 gcc -o myapp myapp.c",
    ),
    (
        "docker run -it --rm --name my-maven-project -v \"$(pwd)\":/usr/src/mymaven -w /usr/src/mymaven maven:3.3-jdk-8 mvn clean install",
        "rm i t v=[/here > /usr/src/mymaven ReadWrite] w=/usr/src/mymaven name=my-maven-project | maven:3.3-jdk-8 mvn clean install",
    ),
    (
        "docker run --rm -u gradle -v \"$PWD\":/home/gradle/project -w /home/gradle/project gradle gradle build",
        "rm v=[/here > /home/gradle/project ReadWrite] w=/home/gradle/project u=gradle: | gradle gradle build",
    ),
    (
        "docker run --rm -v $PWD:/usr/src/myapp -w /usr/src/myapp openjdk:11 javac Main.java",
        "rm v=[/here > /usr/src/myapp ReadWrite] w=/usr/src/myapp | openjdk:11 javac Main.java",
    ),
    (
        "docker run --rm --interactive --tty --volume $PWD:/app composer install",
        "rm i t v=[/here > /app ReadWrite] | composer install",
    ),
    (
        "docker run --rm --interactive --tty --volume $PWD:/app --user $(id -u):$(id -g) composer install --ignore-platform-reqs",
        "rm i t v=[/here > /app ReadWrite] u=1000:1000 | composer install --ignore-platform-reqs",
    ),
    (
        "docker run --rm -u $(id -u) -v $(pwd):/src ghcr.io/york-fs/monorepo:master cmake --preset release -B/src/build-release",
        "rm v=[/here > /src ReadWrite] u=1000: | ghcr.io/york-fs/monorepo:master cmake --preset release -B/src/build-release",
    ),
    (
        "docker run --rm -u $(id -u):$(id -g) -e HOME=/tmp -v $PWD:/w -w /w ghcr.io/astral-sh/uv:python3.12-bookworm-slim bash scripts/vendor.sh",
        "rm v=[/here > /w ReadWrite] w=/w u=1000:1000 e=HOME=/tmp | ghcr.io/astral-sh/uv:python3.12-bookworm-slim bash scripts/vendor.sh",
    ),
    (
        "docker run --rm -u $(id -u):$(id -g) -v $PWD:/data -w /data quay.io/biocontainers/bioconductor-edger:4.8.2 Rscript -e 'library(edgeR)'",
        "rm v=[/here > /data ReadWrite] w=/data u=1000:1000 | quay.io/biocontainers/bioconductor-edger:4.8.2 Rscript -e library(edgeR)",
    ),
    (
        "docker run --rm --volume=\"$PWD:/srv/jekyll:Z\" -it jekyll/jekyll:4 jekyll build",
        "rm i t v=[/here > /srv/jekyll ReadWrite] | jekyll/jekyll:4 jekyll build",
    ),
    (
        "docker run --rm -it -v $(pwd):/docs squidfunk/mkdocs-material build",
        "rm i t v=[/here > /docs ReadWrite] | squidfunk/mkdocs-material build",
    ),
    ("docker run -it --rm haskell:9", "rm i t | haskell:9"),
    (
        "docker run --interactive --tty --rm --user=$(id -u):$(id -g) --env HOME=/home/docker --volume=.:/home/docker/run --workdir=/home/docker/run debian",
        "rm i t v=[/here > /home/docker/run ReadWrite] w=/home/docker/run u=1000:1000 e=HOME=/home/docker | debian",
    ),
    (
        "docker run --init --interactive --rm --tty --user \"$(id -u):$(id -g)\" --volume \"$(pwd):/project\" --volume \"$(pwd)/openapi-specs:/specs\" --workdir /project dkarlovi/openapi-generator-php:latest",
        "rm i t init v=[/here > /project ReadWrite] v=[/here/openapi-specs > /specs ReadWrite] w=/project u=1000:1000 | dkarlovi/openapi-generator-php:latest",
    ),
    (
        "docker run --rm -u $(id -u):$(id -g) -v /etc/localtime:/etc/localtime:ro -v $(pwd):/index -w /index --init --entrypoint bash --name qlever.index docker.io/adfreiburg/qlever:latest -c ls",
        "rm init v=[/etc/localtime > /etc/localtime ReadOnly] v=[/here > /index ReadWrite] w=/index u=1000:1000 entrypoint=bash name=qlever.index | bash docker.io/adfreiburg/qlever:latest -c ls",
    ),
    // Mounts of all kinds.
    (
        "sudo docker run --mount type=bind,source=.,target=/thinness-sage -it thinness_sage",
        "i t v=[/here > /thinness-sage ReadWrite] | thinness_sage",
    ),
    (
        "docker run --mount type=bind,source=\"$(pwd)\",target=/data image hide out.bmp",
        "v=[/here > /data ReadWrite] | image hide out.bmp",
    ),
    (
        "docker run -t -i --mount type=bind,src=/data,dst=/data busybox sh",
        "i t v=[/data > /data ReadWrite] | busybox sh",
    ),
    (
        "docker run --read-only --mount type=volume,target=/icanwrite busybox touch /icanwrite/here",
        "read-only v=[memory 1777 0 > /icanwrite ReadWrite] | busybox touch /icanwrite/here",
    ),
    (
        "docker run --read-only --tmpfs /run --tmpfs /tmp -i -t fedora /bin/bash",
        "i t read-only v=[memory 1777 0 > /run ReadWrite] v=[memory 1777 0 > /tmp ReadWrite] | fedora /bin/bash",
    ),
    (
        "docker container run --read-only=true --mount type=tmpfs,destination=/basket,tmpfs-size=256M --rm -it ubuntu:latest /bin/bash",
        "rm i t read-only v=[memory 1777 268435456 > /basket ReadWrite] | ubuntu:latest /bin/bash",
    ),
    (
        "docker run --rm -it --tmpfs /run:rw,noexec,nosuid,size=65536k my_image",
        "rm i t v=[memory 1777 67108864 > /run ReadWrite noexec] | my_image",
    ),
    (
        "docker run --rm -v postgres_data:/volume -v /tmp:/backup alpine tar -C /volume -cjf /backup/data.tar.bz2 ./",
        "rm v=[kept postgres_data > /volume ReadWrite] v=[/tmp > /backup ReadWrite] | alpine tar -C /volume -cjf /backup/data.tar.bz2 ./",
    ),
    // Surroundings.
    (
        "docker run -e MYVAR1 --env MYVAR2=foo --env-file ./env.list ubuntu bash",
        "e=MYVAR1 e=MYVAR2=foo env-file=./env.list | ubuntu bash",
    ),
    (
        "docker run -u root --env HOST_UID=`id -u` --env HOST_GID=`id -g` --env-file ./env.list -v `pwd`:/home/myrmex/app -it myrmex/dev",
        "i t v=[/here > /home/myrmex/app ReadWrite] u=root: e=HOST_UID=1000 e=HOST_GID=1000 env-file=./env.list | myrmex/dev",
    ),
    (
        "docker run --init -it --name ecs --env-file .env yashdalfthegray/ecs-tester",
        "i t init env-file=.env name=ecs | yashdalfthegray/ecs-tester",
    ),
    (
        "docker run --add-host=docker:93.184.216.34 --rm -it alpine ping docker",
        "rm i t host=docker@93.184.216.34 | alpine ping docker",
    ),
    ("docker run --rm --dns=8.8.8.8 busybox cat /etc/resolv.conf", "rm dns=8.8.8.8 | busybox cat /etc/resolv.conf"),
    (
        "docker run --group-add audio --group-add nogroup --group-add 777 busybox id",
        "group=audio group=nogroup group=777 | busybox id",
    ),
    ("docker run --cidfile /tmp/docker_test.cid ubuntu echo \"test\"", "cid=/tmp/docker_test.cid | ubuntu echo test"),
    (
        "docker run -l my-label --label com.example.foo=bar ubuntu bash",
        "label=my-label label=com.example.foo=bar | ubuntu bash",
    ),
    (
        "docker run --shm-size=2gb -v /skia:/SRC karma-chrome-tests karma start /SRC/karma.conf.js --single-run",
        "v=[/skia > /SRC ReadWrite] shm=2147483648 | karma-chrome-tests karma start /SRC/karma.conf.js --single-run",
    ),
    ("docker run -it -m 300M ubuntu:22.04 /bin/bash", "i t memory=314572800 | ubuntu:22.04 /bin/bash"),
    ("docker run --entrypoint /bin/bash --no-healthcheck ubuntu", "entrypoint=/bin/bash | /bin/bash ubuntu"),
    (
        "docker run --entrypoint=\"\" --rm -v $PWD:/data -it qblockchain/q-client:testnet geth account new --datadir=/data",
        "rm i t v=[/here > /data ReadWrite] entrypoint= | qblockchain/q-client:testnet geth account new --datadir=/data",
    ),
    ("docker run --network none image-name", "| image-name"),
    ("docker run --stop-signal SIGINT --rm nginx", "rm stop=2 | nginx"),
    // Ports.
    (
        "docker run -it --rm -p 8081:8081 -v $(pwd):/var/www -w \"/var/www\" python:3.7.5-alpine ./start.sh",
        "rm i t v=[/here > /var/www ReadWrite] w=/var/www p=8081:8081 | python:3.7.5-alpine ./start.sh",
    ),
    (
        "docker run -it --rm --read-only --mount type=tmpfs,destination=/app/run,tmpfs-mode=1777 --cap-drop NET_RAW --cap-drop CHOWN -p 127.0.0.1:6666:6666 golang-demo:latest",
        "rm i t read-only v=[memory 1777 0 > /app/run ReadWrite] drop=2000 drop=1 p=127.0.0.1:6666:6666 | golang-demo:latest",
    ),
    ("docker run --env-file .env -p 8080:8080 britedge-app", "env-file=.env p=8080:8080 | britedge-app"),
    (
        "docker run --mount type=bind,source=\"$(pwd)\"/data,target=/app/data,readonly -p80:8000 --user nobody image",
        "v=[/here/data > /app/data ReadOnly] u=nobody: p=80:8000 | image",
    ),
    // What makes no sense without the host's kernel, devices or a daemon.
    ("docker run --privileged --rm tonistiigi/binfmt --install all", "refused: --privileged"),
    (
        "docker run --shm-size=\"1024m\" --gpus all --rm -it -e LIGHTLY_TOKEN=x lightly/worker:latest",
        "refused: --gpus all",
    ),
    (
        "docker run --device=/dev/sdc:/dev/xvdc --device=/dev/sdd -it ubuntu ls -l /dev/xvdc",
        "refused: --device /dev/sdc:/dev/xvdc",
    ),
    ("docker run -it --rm --ipc=host mcr.microsoft.com/playwright:v1.50.0 /bin/bash", "refused: --ipc host"),
    (
        "docker run --cap-add=SYS_PTRACE --security-opt seccomp=unconfined -i -t swift:latest /bin/bash",
        "refused: error: invalid value 'SYS_PTRACE' for '--cap-add <CAP>': the sandbox's kernel has nothing that this capability would allow",
    ),
    (
        "docker run --name some-postgres -e POSTGRES_PASSWORD=mysecretpassword -d postgres",
        "d e=POSTGRES_PASSWORD=mysecretpassword name=some-postgres | postgres",
    ),
    (
        "docker run --name some-redis -d redis redis-server --save 60 1 --loglevel warning",
        "d name=some-redis | redis redis-server --save 60 1 --loglevel warning",
    ),
    ("docker run -it --rm --pid=host justincormack/nsenter1", "refused: --pid host"),
];

#[test]
fn lines_of_readmes_mean_what_docker_takes_them_to_mean() {
    assert!(LINES.len() >= 60);
    let wrong = |(line, expected): &&(&str, &str)| meaning(line).trim() != *expected;
    let wrong: Vec<String> = LINES
        .iter()
        .filter(wrong)
        .map(|(line, expected)| format!("{line}\n  {}\n  {expected}", meaning(line)))
        .collect();
    assert!(wrong.is_empty(), "means, and should mean:\n{}", wrong.join("\n"));
}
