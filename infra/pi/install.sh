#!/usr/bin/env bash
# Make this machine a worker node of an ocrfarm farm: Raspberry Pi OS (64-bit), Debian or Ubuntu, on arm64 or x86-64.
#
#   sudo ./install.sh --url http://farm.local:8000 < token
#
#   --url URL            the farm, as this machine reaches it
#   (standard input)     the node token, of `ocrfarm node token` on the farm's machine; left out where OCRFARM_NODE_TOKEN has it
#   --package WHAT       what pip installs: a folder of the source, a wheel, a requirement     [the checkout that this script lies in]
#   --processes N        worker processes                                                       [by cores and memory]
#   --preload A,B        profiles that it reads, and no others, loaded at the start             [by memory]
#   --name NAME          what the node is called                                                [host name and six digits]
#   --root FOLDER        write files there, and start nothing: for an image, or to look at them
#   --print              only say what would be chosen
#
# Again with other arguments changes them; the node's id and cache stay. What it writes: /opt/ocrfarm (the programs), /etc/ocrfarm/node.env
# (address and token, for root alone), /etc/systemd/system/ocrfarm-node.service, and the user `ocrfarm`, whose home is /var/lib/ocrfarm.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
url='' package='' processes='' preload='' name='' root='' print=''

fail() {
    echo "install.sh: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --url | --package | --processes | --preload | --name | --root)
            [ $# -gt 1 ] || fail "$1 takes a value."
            declare "${1#--}=$2"
            shift 2
            ;;
        --print) print=yes && shift ;;
        -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit ;;
        *) fail "there is no option $1; --help shows those there are." ;;
    esac
done

# ---------------------------------------------------------------------------------------------------- what this machine is

[ "$(getconf LONG_BIT)" = 64 ] || fail "this system is 32-bit; ONNX Runtime needs Raspberry Pi OS 64-bit."
case $(uname -m) in aarch64 | x86_64) ;; *) fail "no models run on $(uname -m); aarch64 and x86_64 are known." ;; esac
cores=$(nproc)
memory_mb=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
[ "$memory_mb" -ge 900 ] || fail "$memory_mb MB of memory are too little; a node needs 1 GB."

# A process peaks at about 600 MB on a large page (`ocrfarm bench node` shows it), and the system keeps half a gigabyte.
if [ -z "$processes" ]; then
    fit=$(((memory_mb - 512) / 600))
    processes=$((fit < cores ? fit : cores))
    [ "$processes" -ge 1 ] || processes=1
fi
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "--processes takes a number, 1 or more."
# The 8-bit models need memory for two recognisers in each process; `fast` holds a small one.
if [ -z "$preload" ] && [ "$memory_mb" -lt 1900 ]; then preload=fast; fi
cache_mb=$(df -Pm /var/lib | awk 'NR == 2 { print int($4 / 4 < 1000 ? $4 / 4 : 1000) }')
[ "$cache_mb" -ge 50 ] || fail "less than 200 MB are free in /var/lib; free some."

echo "$cores cores, $memory_mb MB: $processes processes, profile ${preload:-of the farm}, $cache_mb MB of cache"
[ -z "$print" ] || exit 0

[ -n "$url" ] || fail "which farm? --url http://farm.local:8000"
token=${OCRFARM_NODE_TOKEN:-}
if [ -z "$token" ]; then
    if [ -t 0 ]; then echo "Node token (ocrfarm node token, on the farm's machine):" >&2; fi
    read -r token || true
fi
[[ $token =~ ^ocr_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$ ]] || fail "that is no token; \`ocrfarm node token\` on the farm's machine makes one."
[ "$(id -u)" = 0 ] || fail "it writes to /opt, /etc and /var: run it as root (sudo)."

# ---------------------------------------------------------------------------------------------------- the programs

if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed: Raspberry Pi OS bookworm or later."

opt=$root/opt/ocrfarm
[ -x "$opt/bin/python" ] || python3 -m venv "$opt"
if [ -z "$package" ]; then package=$here/../..; fi
if [ -e "$package" ]; then package=$(realpath "$package"); fi
if [[ $package == *.whl || -d $package ]]; then package="${package}[worker]"; fi
"$opt/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "$package"

# ---------------------------------------------------------------------------------------------------- its user, settings and unit

if [ -z "$root" ] && ! id ocrfarm >/dev/null 2>&1; then
    useradd --system --home-dir /var/lib/ocrfarm --no-create-home --shell /usr/sbin/nologin ocrfarm
fi
install -d -m 0755 "$root/etc/ocrfarm" "$root/etc/systemd/system"
install -d -m 0700 "$root/var/lib/ocrfarm"
[ -n "$root" ] || chown ocrfarm: /var/lib/ocrfarm
(
    umask 077
    {
        echo "# Of ocrfarm-node.service; written by install.sh. Only root reads it: it holds the token."
        echo "OCRFARM_JOIN_URL=$url"
        echo "OCRFARM_NODE_TOKEN=$token"
        echo "OCRFARM_STATE=/var/lib/ocrfarm"
        echo "OCRFARM_WORKERS=$processes"
        echo "OCRFARM_NODE_CACHE_MB=$cache_mb"
        # A page of another profile would need memory that is not there: it goes to other nodes.
        if [ -n "$preload" ]; then printf 'OCRFARM_PRELOAD=%s\nOCRFARM_PROFILES=%s\n' "$preload" "$preload"; fi
        if [ -n "$name" ]; then echo "OCRFARM_NODE=$name"; fi
    } >"$root/etc/ocrfarm/node.env.part"
)
mv "$root/etc/ocrfarm/node.env.part" "$root/etc/ocrfarm/node.env"
install -m 0644 "$here/ocrfarm-node.service" "$root/etc/systemd/system/ocrfarm-node.service"

if [ -n "$root" ] || [ ! -d /run/systemd/system ]; then
    echo "Written. Nothing was started: there is no systemd here. By hand: set what node.env says, and run ocrfarm worker join."
    exit 0
fi
# time-sync.target means something only where somebody waits for the clock.
if systemctl is-enabled --quiet systemd-timesyncd 2>/dev/null; then systemctl enable --quiet systemd-time-wait-sync.service; fi
systemctl daemon-reload
systemctl enable --quiet ocrfarm-node
systemctl restart ocrfarm-node
echo "The node runs. \`journalctl -fu ocrfarm-node\` follows it; \`ocrfarm node list\` on the farm's machine shows it."
