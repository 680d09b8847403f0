#!/bin/sh
# Renews the lock files. They hold versions and hashes for every platform and name no index.
set -eu
.venv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
compile() {
  .venv/bin/python -m uv pip compile "$@" --quiet --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-header --no-annotate --no-config
}
compile --group pyproject.toml:build --output-file requirements/build.lock
compile pyproject.toml --output-file requirements/run.lock
compile pyproject.toml --group dev --constraint requirements/run.lock \
  --constraint requirements/build.lock --output-file requirements/dev.lock
if grep -nE '://|--find-links|--index|--extra-index' requirements/*.lock; then
  echo "A lock file names a place to download from; remove it before committing." >&2
  exit 1
fi
