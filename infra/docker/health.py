"""Is this container's part of the farm well? `python health.py gateway|dispatcher|worker`; exit code 0 where it is.

gateway     it answers
dispatcher  one leads (this or another): pages of a killed worker come back
worker      at least one process of this container says that it lives; it does so every 5 s, and not before its models are loaded
"""

from __future__ import annotations

import http.client
import platform
import sys
import time


def gateway() -> bool:
    link = http.client.HTTPConnection("127.0.0.1", 8000, timeout=3)
    link.request("GET", "/livez")
    return link.getresponse().status == 200


def dispatcher() -> bool:
    connection, namespace = ledger()
    return bool(connection.exists(f"{namespace}:leader"))


def worker() -> bool:
    connection, namespace = ledger()
    alive = [
        process.decode()
        for key in ("slots", "resting")  # a node that was drained is well
        for process in connection.zrangebyscore(f"{namespace}:{key}", time.time(), "+inf")
    ]
    return any(process.split(":")[0] == platform.node() for process in alive)


def ledger():  # type: ignore[no-untyped-def]  # it is no part of a room; the libraries are imported where they are needed
    import redis

    from ocrfarm_shared.settings import read_settings

    conf = read_settings()
    return redis.Redis.from_url(conf.broker_url, socket_timeout=3, socket_connect_timeout=3), conf.namespace


if __name__ == "__main__":
    checks = {"gateway": gateway, "dispatcher": dispatcher, "worker": worker}
    try:
        well = checks[sys.argv[1]]()
    except Exception as err:
        sys.exit(f"{type(err).__name__}: {err}")
    sys.exit(0 if well else 1)
