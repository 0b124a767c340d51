#!/bin/sh
# Inside a build: fill /opt/ocrfarm.
#   sh install.sh libraries EXTRA     what `ocrfarm[EXTRA]` needs: the versions and hashes of uv.lock, from where pip's settings say
#   sh install.sh ocrfarm             the distribution made from this folder; no library is looked for
#   sh install.sh slim                without what a worker never opens (after its models were made elsewhere)
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
    # rapidocr is here for its model files; what its code needs is left out with it.
    set -- "$2" shapely pyclipper omegaconf pyyaml requests charset-normalizer urllib3 tqdm colorlog
    "$tools/bin/uv" export --quiet --frozen --no-dev --no-emit-project --extra "$1" $(shift && printf ' --no-emit-package %s' "$@") \
        --output-file /tmp/requirements.txt
    into_target --require-hashes -r /tmp/requirements.txt
    # Other people's tests, sources and type stubs are never read here: a sixth of numpy.
    find "$target/lib" -depth -type d \( -name tests -o -name include \) -exec rm -rf {} +
    find "$target/lib" -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.cc' -o -name '*.cpp' -o -name '*.pyx' -o -name '*.pxd' \) -delete
    ;;
ocrfarm)
    "$tools/bin/pip" wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel .
    into_target --no-index /tmp/wheel/*.whl
    ;;
slim)
    cd "$target"/lib/python3*/site-packages
    # The C interface: Python has the same in a file of its own. And tools around models, which are made by our own code.
    rm -rf onnxruntime/capi/libonnxruntime.so.* onnxruntime/transformers onnxruntime/tools onnxruntime/quantization
    rm -rf onnx/backend/test ocrfarm_models/calibration_pictures
    rm -rf lxml/objectify.* lxml/html lxml/isoschematron # pikepdf asks for lxml.etree
    find rapidocr -name '*.py' ! -path rapidocr/__init__.py -delete
    find rapidocr -name '*.pyc' -delete
    # The files that models are made from, where no profile opens them as they are.
    "$target/bin/python" - <<-'END'
	from ocrfarm_models import registry
	rows = registry.rows().values()
	opened = {registry.source_path(row) for row in rows if not row.recipe}
	for path in {registry.source_path(row) for row in rows if row.recipe} - opened:
	    path.unlink()
	    print("not needed any more:", path.name)
	END
    ;;
*)
    echo "usage: sh install.sh libraries EXTRA | ocrfarm | slim" >&2
    exit 2
    ;;
esac
# Nothing is compiled when it runs: the root file system is read-only then. What does not compile is not Python of this version; pygments'
# lexers are many, and none is asked for.
"$target/bin/python" -m compileall -q -j 0 -x /pygments/ "$target/lib" >/dev/null || true
