"""The Celery application factory, and the names that the queue is spoken with.

Celery carries messages to processes; it decides nothing. Order, fairness, attempts and results are the ledger's: a message is published
by the ledger's own Lua (`ledger/scripts/prelude.lua`, `publish`), in the transition that marks the unit as published, and names a unit;
whoever gets it must claim that unit from the ledger first.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from ocrfarm_shared.profiles import profiles
from ocrfarm_shared.settings import Settings

TASK_READ_UNIT = "ocrfarm.read_unit"

# Half as many again as there are live slots are under way, so a queue is short and first in, first out is fair.
QUEUE_INFIX = "q"


def queue_name(namespace: str, profile: str) -> str:
    """The Redis list (and Celery queue) of a profile; prelude.lua makes the same name."""
    return f"{namespace}:{QUEUE_INFIX}:{profile}"


def make_app(settings: Settings, *, concurrency: int | None = None, reads: Collection[str] | None = None) -> Celery:
    """A Celery application for this farm. `reads`: the profiles whose queues it consumes; None: all that are known here.

    Raises SettingsError where no Redis is named.
    """
    app = Celery("ocrfarm", broker=settings.broker_url)
    app.conf.update(configuration(settings, reads))
    if concurrency is not None:
        app.conf.worker_concurrency = concurrency
    return app


def configuration(settings: Settings, reads: Collection[str] | None = None) -> dict[str, Any]:
    """Celery's settings, each with its reason."""
    exchange = Exchange("", type="direct")
    return {
        "task_queues": [
            Queue(queue_name(settings.namespace, name), exchange, routing_key=queue_name(settings.namespace, name))
            for name in (profiles() if reads is None else reads)
        ],
        # The ledger owns job state; Celery's states never reach a user.
        "task_ignore_result": True,
        "result_backend": None,
        # JSON alone, in and out: a message from a stolen node must not be code.
        "task_serializer": "json",
        "accept_content": ["json"],
        # A message is acknowledged when its page is recorded, so a dead worker's message comes back (second net, after the lease).
        "task_acks_late": True,
        # Rejecting on loss requeues a page that kills its process without end; the ledger counts attempts and hands it out again.
        "task_reject_on_worker_lost": False,
        # Prefork: the threads pool ignores time limits, max_tasks_per_child and terminate. One message a free process, none hoarded.
        "worker_pool": "prefork",
        "worker_concurrency": settings.worker_count,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "task_time_limit": settings.hard_time_limit_s,
        "task_soft_time_limit": settings.soft_time_limit_s,
        "worker_max_tasks_per_child": settings.max_tasks_per_child or None,
        "worker_max_memory_per_child": settings.max_memory_per_child_mb * 1024 or None,  # KiB
        # A child loads and warms its models before it says that it lives.
        "worker_proc_alive_timeout": 60.0,
        # SIGTERM (remapped to SIGQUIT, settings.process_environment): pages being read may end, then the rest goes back.
        "worker_soft_shutdown_timeout": 20.0,
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": settings.flower,  # for Flower
        "task_send_sent_event": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_heartbeat": 0,  # Redis has none; health_check_interval below finds dead connections
        # What Celery keeps for itself in Redis has the farm's prefix too: two farms on one Redis must not hand each other's messages
        # back, and a Redis user can be kept to one (redis_users.py). (`global_keyprefix` would do it for all keys at once, and then
        # look for the queues where our Lua does not put them.)
        "control_exchange": f"{settings.namespace}:control",
        "event_exchange": f"{settings.namespace}:celeryev",
        "event_queue_prefix": f"{settings.namespace}:celeryev",
        "broker_transport_options": {
            "unacked_key": f"{settings.namespace}:unacked",
            "unacked_index_key": f"{settings.namespace}:unacked_index",
            "unacked_mutex_key": f"{settings.namespace}:unacked_mutex",
            # Stamped at delivery and never refreshed, the shortest of all clients wins: it must outlive the hard limit.
            "visibility_timeout": settings.visibility_timeout_s,
            # Without these two, redelivery is swept every 100 s or so, whatever the timeout says.
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            # Half-open TCP connections are found within seconds.
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        "enable_utc": True,
    }
