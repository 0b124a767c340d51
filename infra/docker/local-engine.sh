#!/usr/bin/env bash
# A Docker engine for a Debian machine that has none, and the two base images where no image registry can be reached:
# both are made from Debian's own packages. For CI, and for whoever wants to run the container tests by hand.
#
#   infra/docker/local-engine.sh up            start dockerd where none answers (installing it), make the base images
#   infra/docker/local-engine.sh arm64         after `up`: an emulated linux/arm64 base image as well
#   infra/docker/local-engine.sh env           what to export: eval "$(infra/docker/local-engine.sh env)"
#   infra/docker/local-engine.sh down          stop the dockerd that `up` started; images and volumes stay
#
# Needs root and a Debian mirror. A minute or two the first time, a second when all of it is there. An engine that answers already is used
# as it is, and PYTHON_IMAGE and REDIS_IMAGE, where they are set, are left alone and not made.
set -euo pipefail

state=${OCRFARM_ENGINE_STATE:-/var/tmp/ocrfarm-engine}
suite=bookworm
debian_image=ocrfarm-local/debian:$suite
debian_arm64_image=ocrfarm-local/debian-arm64:$suite
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
    if [ -d /run/systemd/system ]; then # it is the machine's own service there
        systemctl start docker
        docker info >/dev/null && return
    fi
    say "starting dockerd"
    # A machine that was switched off under a dockerd leaves its pid file behind.
    rm -f /var/run/docker.pid
    nohup dockerd >"$state/dockerd.log" 2>&1 </dev/null &
    echo $! >"$state/dockerd.pid"
    for _ in $(seq 240); do
        docker info >/dev/null 2>&1 && return
        sleep 0.5
    done
    say "dockerd did not come up; the end of $state/dockerd.log:"
    tail -n 20 "$state/dockerd.log" >&2
    exit 1
}

# debian TAG ARCHITECTURE [docker import's options]: Debian's minimal system, with the certificates that this machine trusts, so that a build
# reaches what the machine reaches.
debian() {
    local tag=$1 architecture=$2 root
    docker image inspect "$tag" >/dev/null 2>&1 && return
    install_missing debootstrap=debootstrap
    say "making $tag"
    root=$(mktemp -d /var/tmp/ocrfarm-base.XXXXXX)
    # shellcheck disable=SC2064
    trap "rm -rf '$root'" EXIT
    debootstrap --arch="$architecture" --variant=minbase --include=ca-certificates "$suite" "$root" >"$state/debootstrap.log" 2>&1 </dev/null ||
        { tail -n 20 "$state/debootstrap.log" >&2; exit 1; }
    cp "$tls" "$root$tls"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" -c . | docker import "${@:3}" --change "ENV PIP_CERT=$tls SSL_CERT_FILE=$tls" - "$tag" >/dev/null
    rm -rf "$root"
}

with_packages() { # with_packages TAG BASE PACKAGES, and further lines of a Dockerfile on standard input
    docker image inspect "$1" >/dev/null 2>&1 && return
    say "making $1"
    {
        echo "FROM $2"
        echo "RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $3 \\"
        echo " && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED"
        cat
    } | DOCKER_BUILDKIT=0 docker build --network=host -q -t "$1" - >"$state/build.log" 2>&1 || { tail -n 20 "$state/build.log" >&2; exit 1; }
}

python() { # python TAG BASE
    echo 'RUN ln -sf python3 /usr/bin/python
CMD ["python3"]' | with_packages "$1" "$2" "python3 python3-venv python3-pip"
}

case "${1:-up}" in
env)
    environment
    ;;
up)
    mkdir -p "$state"
    engine
    if [ -z "${PYTHON_IMAGE:-}" ] || [ -z "${REDIS_IMAGE:-}" ]; then debian "$debian_image" "$(dpkg --print-architecture)"; fi
    [ -n "${PYTHON_IMAGE:-}" ] || python "$python_image" "$debian_image"
    [ -n "${REDIS_IMAGE:-}" ] || with_packages "$redis_image" "$debian_image" redis-server <<'END'
RUN mkdir /data && chown redis:redis /data
EXPOSE 6379
VOLUME /data
WORKDIR /data
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data"]
END
    environment
    ;;
arm64)
    mkdir -p "$state"
    install_missing qemu-aarch64-static=qemu-user-static update-binfmts=binfmt-support
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    update-binfmts --enable qemu-aarch64
    debian "$debian_arm64_image" arm64 --platform linux/arm64
    python "$python_arm64_image" "$debian_arm64_image"
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
