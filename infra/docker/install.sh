#!/bin/sh
# Inside a build: fill /opt/ocrfarm.
#   sh install.sh libraries EXTRA     what `ocrfarm[EXTRA]` needs: the versions and hashes of uv.lock, from where pip's settings say
#   sh install.sh ocrfarm             the distribution made from this folder; no library is looked for
set -eu
UV_VERSION=0.13.8 # the Makefile's
HATCHLING_VERSION=1.27.0
tools=/opt/tools
target=/opt/ocrfarm
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1

into_target() { "$tools/bin/pip" --python "$target/bin/python" install --no-deps --no-compile "$@"; }

case "$1" in
libraries)
    python3 -m venv "$tools"
    "$tools/bin/pip" install "uv==$UV_VERSION" "hatchling==$HATCHLING_VERSION"
    python3 -m venv --without-pip "$target"
    "$tools/bin/uv" export --quiet --frozen --no-dev --no-emit-project --extra "$2" --output-file /tmp/requirements.txt
    into_target --require-hashes -r /tmp/requirements.txt
    # Other people's tests, headers and type stubs are never read here: a sixth of numpy.
    find "$target/lib" -depth -type d \( -name tests -o -name include \) -exec rm -rf {} +
    find "$target/lib" -name '*.pyi' -delete
    ;;
ocrfarm)
    "$tools/bin/pip" wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel .
    into_target --no-index /tmp/wheel/*.whl
    ;;
*)
    echo "usage: sh install.sh libraries EXTRA | ocrfarm" >&2
    exit 2
    ;;
esac
# Nothing is compiled when it runs: the root file system is read-only then. What does not compile is not Python of this version.
"$target/bin/python" -m compileall -q -j 0 "$target/lib" >/dev/null || true
