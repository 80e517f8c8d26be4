#!/bin/sh
# With --snapstart the bootstrap is told that this is its Python. It runs zygote.py in between.
exec "$LOCAL_PYTHON" "${0%/*}/zygote.py" "$@"
