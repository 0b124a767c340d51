#!/usr/bin/env bash
# A Docker engine for a Debian machine that has none, and the two base images where no image registry can be reached:
# both are made from Debian's own packages. For CI, and for whoever wants to run the container tests by hand.
#
#   infra/docker/local-engine.sh up            start dockerd where none answers (installing it), make the base images
#   infra/docker/local-engine.sh arm64         after `up`: an emulated linux/arm64 base image as well
#   infra/docker/local-engine.sh env           what to export: eval "$(infra/docker/local-engine.sh env)"
#   infra/docker/local-engine.sh down          stop the dockerd that `up` started; images and volumes stay
#
# Needs root and a Debian mirror. About a minute the first time, a second when all of it is there. An engine that answers already is used
# as it is, and PYTHON_IMAGE and REDIS_IMAGE, where they are set, are left alone and not made.
set -euo pipefail

state=${OCRFARM_ENGINE_STATE:-/var/tmp/ocrfarm-engine}
suite=bookworm
python_image=ocrfarm-local/python:$suite
python_arm64_image=ocrfarm-local/python-arm64:$suite
redis_image=ocrfarm-local/redis:$suite
tls=/etc/ssl/certs/ca-certificates.crt

say() { echo "local-engine: $*" >&2; }

environment() {
    echo "export PYTHON_IMAGE=${PYTHON_IMAGE:-$python_image}"
    echo "export REDIS_IMAGE=${REDIS_IMAGE:-$redis_image}"
    # A bridge of this engine may have no way out; the machine itself has one.
    echo "export BUILD_NETWORK=host"
    # Debian's Docker comes without BuildKit.
    echo "export DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0"
    # testcontainers' reaper is an image from a registry.
    echo "export TESTCONTAINERS_RYUK_DISABLED=true"
}

install_missing() { # install_missing PROGRAM=PACKAGE...
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    say "installing ${missing[*]}"
    apt-get update -qq </dev/null >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >"$state/apt.log" 2>&1 ||
        { tail -n 20 "$state/apt.log" >&2; exit 1; }
}

engine() {
    install_missing docker-compose=docker-compose docker=docker.io
    docker info >/dev/null 2>&1 && return
    install_missing dockerd=docker.io iptables=iptables
    say "starting dockerd"
    # A machine that was switched off under a dockerd leaves its pid file behind.
    rm -f /var/run/docker.pid
    nohup dockerd >"$state/dockerd.log" 2>&1 </dev/null &
    echo $! >"$state/dockerd.pid"
    for _ in $(seq 120); do
        docker info >/dev/null 2>&1 && return
        sleep 0.5
    done
    say "dockerd did not come up; the end of $state/dockerd.log:"
    tail -n 20 "$state/dockerd.log" >&2
    exit 1
}

# base_image TAG ARCHITECTURE PACKAGES [docker import's options]: Debian's minimal system with those packages, and with the certificates
# that this machine trusts, so that a build reaches what the machine reaches.
base_image() {
    local tag=$1 architecture=$2 packages=$3 root
    docker image inspect "$tag" >/dev/null 2>&1 && return
    install_missing debootstrap=debootstrap
    say "making $tag"
    root=$(mktemp -d /var/tmp/ocrfarm-base.XXXXXX)
    # shellcheck disable=SC2064
    trap "rm -rf '$root'" EXIT
    debootstrap --arch="$architecture" --variant=minbase --include="ca-certificates,$packages" "$suite" "$root" \
        >"$state/debootstrap.log" 2>&1 </dev/null || { tail -n 20 "$state/debootstrap.log" >&2; exit 1; }
    cp "$tls" "$root$tls"
    if [ -x "$root/usr/bin/python3" ]; then
        rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
        ln -sf python3 "$root/usr/bin/python"
    fi
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" -c . | docker import "${@:4}" - "$tag" >/dev/null
    rm -rf "$root"
}

python_base() { # python_base TAG ARCHITECTURE [docker import's options]
    base_image "$1" "$2" python3,python3-venv,python3-pip "${@:3}" \
        --change 'CMD ["python3"]' --change "ENV PIP_CERT=$tls SSL_CERT_FILE=$tls"
}

case "${1:-up}" in
env)
    environment
    ;;
up)
    mkdir -p "$state"
    engine
    [ -n "${PYTHON_IMAGE:-}" ] || python_base "$python_image" "$(dpkg --print-architecture)"
    [ -n "${REDIS_IMAGE:-}" ] || base_image "$redis_image" "$(dpkg --print-architecture)" redis-server \
        --change 'EXPOSE 6379' --change 'VOLUME /data' --change 'WORKDIR /data' \
        --change 'CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data"]'
    environment
    ;;
arm64)
    mkdir -p "$state"
    install_missing qemu-aarch64-static=qemu-user-static update-binfmts=binfmt-support
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    update-binfmts --enable qemu-aarch64
    python_base "$python_arm64_image" arm64 --platform linux/arm64
    echo "export PYTHON_IMAGE_ARM64=$python_arm64_image"
    ;;
down)
    if [ -f "$state/dockerd.pid" ]; then
        kill "$(cat "$state/dockerd.pid")" 2>/dev/null || true
        rm -f "$state/dockerd.pid"
    fi
    ;;
*)
    echo "usage: $0 up|arm64|env|down" >&2
    exit 2
    ;;
esac
