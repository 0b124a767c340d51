"""The Celery worker of this node: what happens when a pool starts, a child is born, a child dies.

Celery imports this module in the pool's parent. Engines (ONNX Runtime sessions, their threads) are made in the children, after the fork.
"""

from __future__ import annotations

import logging
import resource
from typing import Any

import cv2
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Celery, signals
from celery.worker.control import Panel
from redis.exceptions import RedisError

from ocrfarm_shared.errors import FarmError, Timeout, WorkerLost
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.queue import TASK_READ_UNIT, make_app
from ocrfarm_shared.settings import settings
from ocrfarm_worker import hands, tasks
from ocrfarm_worker.capability import capability
from ocrfarm_worker.gate import AtTheGate

log = logging.getLogger(__name__)


def build_app() -> Celery:
    """The application with its one task and its signal handlers. It consumes the queues of what this node reads, and no others.

    Raises as `capability` does.
    """
    app = make_app(settings(), reads=capability(settings()).reads)
    tasks.register(app)
    _know_one_task(app)
    app.steps["consumer"].add(AtTheGate)
    _take_no_orders()
    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_process_init.connect(_child_born, weak=False)
    signals.worker_process_shutdown.connect(_child_leaves, weak=False)
    signals.task_failure.connect(_child_lost, weak=False)
    return app


def _know_one_task(app: Celery) -> None:
    """Celery's own tasks (`celery.map` calls another a million times, say) are nothing that this farm sends."""
    app.finalize()
    for name in [name for name in app.tasks if name != TASK_READ_UNIT]:
        app.tasks.unregister(name)


# What Flower asks, and people with `celery inspect`. Left out are also questions that are orders (`hello` brings tasks to revoke) or work
# (`memdump`, `objgraph`).
_QUESTIONS = frozenset(
    ("ping", "stats", "active", "active_queues", "conf", "registered", "reserved", "revoked", "scheduled", "query_task")
)
_HARMLESS_ORDERS = frozenset(("enable_events", "disable_events"))


def _take_no_orders() -> None:
    """Workers answer questions over Celery's remote control (Flower asks them), and take no orders: whoever can publish there, with a
    stolen password of Flower's, say, could else shut pools down or revoke tasks. Stopping is the supervisor's, cancelling the ledger's."""
    for name in Panel.data.keys() - _QUESTIONS - _HARMLESS_ORDERS:
        Panel.data.pop(name)


def _keep_logging(**_: Any) -> None:
    """Connected so that Celery leaves the logging that the command set up."""


def _child_born(**_: Any) -> None:
    bound_memory(settings().hard_memory_per_child_mb)
    cv2.setNumThreads(1)  # one page a process: more threads than cores slow a farm many times over
    hands.start(settings())


def bound_memory(megabytes: int) -> None:
    """Let this process take that much and no more (RLIMIT_DATA: its own writable memory, mapped files not counted); 0: no limit.

    A PDF of 4 MB can ask for 5 GB, and the kernel's out-of-memory killer may choose Redis. Over the limit an allocation fails: the page
    ends as out of memory, or PDFium ends its process and the page as worker lost; the node goes on.
    """
    if megabytes:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = megabytes * 1024 * 1024
        resource.setrlimit(
            resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def _child_leaves(**_: Any) -> None:
    hands.stop()


def _child_lost(task_id: str = "", exception: BaseException | None = None, args: Any = None, **_: Any) -> None:
    """In the pool's parent: a child died under a page, or was killed by the hard time limit. Its lease is released with the cause."""
    if isinstance(exception, TimeLimitExceeded):
        error: FarmError = Timeout()
    elif isinstance(exception, WorkerLostError):
        error = WorkerLost()
    else:
        return
    unit = str((args or [""])[0])
    log.error("lost the process that held %s: %r", unit, exception)
    ledger = Ledger.open(settings())
    try:
        ledger(calls.fail(unit, error, owner=task_id, max_attempts=settings().max_attempts))
    except RedisError:
        log.warning("could not release %s now; its lease runs out by itself", unit)
    finally:
        ledger.close()
