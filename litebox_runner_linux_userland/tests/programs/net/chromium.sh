# A browser without a window loads a page, runs its script, and asks the server again from there.
mkdir -p site
cat >site/index.html <<'HTML'
<!doctype html><title>before</title><p id=it>empty</p>
<script>
fetch('data.json').then(answer => answer.json()).then(data => {
  document.title = 'after';
  document.getElementById('it').textContent = data.words.join(' ');
});
</script>
HTML
echo '{ "words": ["read", "by", "a", "script"] }' >site/data.json
port=$(free_port)
serve "$port" python3 -m http.server --bind 127.0.0.1 --directory site "$port"
chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$PWD/profile" \
    --virtual-time-budget=5000 --dump-dom "http://127.0.0.1:$port/index.html" 2>chromium.log
