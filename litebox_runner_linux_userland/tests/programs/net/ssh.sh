# git clones over ssh from a server of one connection at a time; scp and a program at the other end.
export HOME=$PWD GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
mkdir -m 700 keys
ssh-keygen -q -t ed25519 -N '' -f keys/host
ssh-keygen -q -t ed25519 -N '' -f keys/user
cp keys/user.pub keys/authorized
cat >keys/config <<CONF
HostKey $PWD/keys/host
AuthorizedKeysFile $PWD/keys/authorized
PidFile none
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
CONF
port=$(free_port)
mkdir -p /run/sshd 2>/dev/null
serve "$port" /usr/sbin/sshd -D -e -f keys/config -p "$port" -o ListenAddress=127.0.0.1
user=$(id -un)
options=(-i keys/user -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR)
ssh -p "$port" "${options[@]}" "$user@127.0.0.1" 'echo "hello from a shell"; exit 7'
echo "status $?"
seq 100000 >numbers
ssh -p "$port" "${options[@]}" "$user@127.0.0.1" cksum <numbers
scp -q -P "$port" "${options[@]}" numbers "$user@127.0.0.1:$PWD/copied" && cmp numbers copied && echo copied
git init -q -b main work
git -C work config user.name somebody
git -C work config user.email somebody@example.org
seq 500 >work/file
git -C work add file && git -C work commit -q -m one
export GIT_SSH_COMMAND="ssh ${options[*]//keys/$PWD/keys}"
git clone -q "ssh://$user@127.0.0.1:$port$PWD/work" cloned && git -C cloned log --format='%h %s'
