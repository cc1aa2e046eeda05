# Jupyter executes a notebook: a kernel of its own, which it talks to by five sockets of the loopback.
export HOME=$PWD JUPYTER_PLATFORM_DIRS=1 PYTHONWARNINGS=ignore
cat >it.ipynb <<'JSON'
{ "cells": [
  { "cell_type": "code", "id": "a", "metadata": {}, "execution_count": null, "outputs": [],
    "source": "import os, threading\nwords = []\nt = threading.Thread(target=lambda: words.append('thread'))\nt.start(); t.join()\nprint(words)" },
  { "cell_type": "code", "id": "b", "metadata": {}, "execution_count": null, "outputs": [], "source": "!echo from a shell\n6 * 7" },
  { "cell_type": "markdown", "id": "c", "metadata": {}, "source": "# A title" }
 ],
 "metadata": { "kernelspec": { "display_name": "Python 3", "language": "python", "name": "python3" } },
 "nbformat": 4, "nbformat_minor": 5 }
JSON
/usr/bin/python3 -m jupyter nbconvert --execute --to notebook --output done it.ipynb 2>jupyter.log || cat jupyter.log
/usr/bin/python3 - <<'PY'
import json
for cell in json.load(open("done.ipynb"))["cells"]:
    for output in cell.get("outputs", []):
        print(output["output_type"], output.get("text") or output["data"]["text/plain"])
PY
