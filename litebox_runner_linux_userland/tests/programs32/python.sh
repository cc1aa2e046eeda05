# The packages have it by this name alone.
python3() { python3.11 "$@"; }
