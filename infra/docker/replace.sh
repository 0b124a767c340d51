#!/usr/bin/env bash
# Replace the farm's containers by new ones of the images that there are now, one after the other: an upgrade that loses no document.
#
#   docker compose build                        (or pull) the new images first
#   infra/docker/replace.sh                     everything, in the order below
#   infra/docker/replace.sh api worker          these alone
#
# Each container may end what it does (40 s), goes, and its successor must be healthy before the next one goes. With two gateways one answers
# at every moment; while Redis or the door is replaced there are a few seconds of 503 or of no answer, and clients send again.
# Workers come first: an older worker leaves alone what only a newer one can read. First of all, the Redis users learn what they may do now.
set -euo pipefail
cd "$(dirname "$0")/../.."

read -r -a compose <<<"${COMPOSE:-}"
if [ "${#compose[@]}" -eq 0 ]; then
    if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
fi
project=$("${compose[@]}" ps -q redis | head -n 1 | xargs -r docker inspect -f '{{index .Config.Labels "com.docker.compose.project"}}')
[ -n "$project" ] || { echo "no farm is running here; start it with: ${compose[*]} up -d" >&2; exit 1; }

containers() { # of a service, oldest first
    docker ps -q --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1" \
        --filter label=com.docker.compose.oneoff=False | tac
}

healthy() { # healthy SERVICE: wait until all of its containers are
    local id state
    for id in $(containers "$1"); do
        for _ in $(seq 240); do
            state=$(docker inspect -f '{{.State.Health.Status}}' "$id")
            [ "$state" = healthy ] && break
            sleep 0.5
        done
        [ "$state" = healthy ] || { echo "$1: the new container is $state; the old ones that are left go on" >&2; exit 1; }
    done
}

replace() {
    local service=$1 id count
    count=$(containers "$service" | wc -l)
    for id in $(containers "$service"); do
        echo "$service: replacing $id"
        docker stop -t 40 "$id" >/dev/null
        docker rm -v "$id" >/dev/null # an image may declare a volume of its own
        "${compose[@]}" up -d --no-deps --no-recreate --no-build --scale "$service=$count" "$service" >/dev/null 2>&1
        healthy "$service"
    done
}

"${compose[@]}" up -d --no-deps --no-build setup >/dev/null 2>&1
docker wait "$("${compose[@]}" ps -a -q setup 2>/dev/null || "${compose[@]}" ps -q setup)" >/dev/null
"${compose[@]}" exec -T redis sh -c 'REDISCLI_AUTH="$(cat /volumes/redis-secrets/admin-password)" redis-cli --user admin --no-auth-warning ACL LOAD' \
    >/dev/null

services=("$@")
[ "${#services[@]}" -gt 0 ] || services=(worker dispatcher api flower redis door)
for service in "${services[@]}"; do replace "$service"; done
