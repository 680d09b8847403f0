#!/bin/sh
# Prints the first Python that is new enough for Envoi, or says what is missing.
for name in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
  if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "$name"
    exit 0
  fi
done
echo "Envoi needs Python 3.11 or newer, and none was found. Install one, or name it: make run PYTHON=/path/to/python3" >&2
exit 1
