# git clones over http and by its own protocol, and pushes by the latter.
export HOME=$PWD GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git config --global user.name somebody
git config --global user.email somebody@example.org
git config --global init.defaultBranch main
git config --global --add safe.directory '*'
mkdir served
git init -q work
for n in 1 2 3; do
    seq "$n" 500 >work/file
    git -C work add file
    git -C work commit -q -m "number $n"
done
git clone -q --bare work served/it.git
git -C served/it.git update-server-info
http=$(free_port)
serve "$http" python3 -m http.server --bind 127.0.0.1 --directory served "$http"
git clone -q "http://127.0.0.1:$http/it.git" by-http && git -C by-http log --format='%h %s'
own=$(free_port)
serve "$own" git daemon --reuseaddr --listen=127.0.0.1 --port="$own" --base-path="$PWD/served" --export-all --enable=receive-pack
git clone -q "git://127.0.0.1:$own/it.git" by-git && git -C by-git log --format='%h %s'
echo more >by-git/more
git -C by-git add more
git -C by-git commit -q -m 'number 4'
git -C by-git push -q origin main && git -C served/it.git log -1 --format='%h %s'
