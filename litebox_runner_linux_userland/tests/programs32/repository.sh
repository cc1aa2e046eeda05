# A repository from its beginning to its packing; the names of commits say that every byte is right.
set -e
cd "$(mktemp -d)"
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000' GIT_CONFIG_NOSYSTEM=1 HOME=$PWD
git config --global user.name Somebody; git config --global user.email some@body; git config --global init.defaultBranch main
git init -q work; cd work
for i in 1 2 3 4 5; do seq 1 $((i * 100)) > "file$i"; git add .; git commit -qm "commit $i"; done
git checkout -qb side HEAD~2; sed -i s/^7$/seven/ file1; git commit -qam side; git checkout -q main
git merge -q -m merged side; git log --oneline --graph; git diff --stat HEAD~1; git tag -a -m tagged v1
git gc -q; git fsck --full 2>&1 | grep -v notice || true; git count-objects -v | grep -E 'count|in-pack'
cd ..; git clone -q work copy; cd copy; git log --format=%H -1; git blame -s file1 | grep seven
git stash list; echo more >> file2; git stash -q; git status -s; git stash pop -q; git status -s; git grep -c seven
git archive HEAD | tar t | sort | head -3; git bundle create -q ../all.bundle main; git ls-remote ../all.bundle
