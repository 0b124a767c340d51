"""The message that the ledger publishes, held against the one that the installed Celery would send."""

from __future__ import annotations

import json

from ocrfarm_shared.contracts import OcrOptions, Submission
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.profiles import profiles
from ocrfarm_shared.queue import TASK_READ_UNIT, make_app, queue_name
from ocrfarm_shared.settings import Settings


def _published(ledger: Ledger, queue: str) -> dict:
    raw = ledger.redis.rpop(queue)
    assert raw is not None
    return json.loads(raw)


def test_the_ledgers_message_is_celerys(farm_settings: Settings) -> None:
    ledger = Ledger.open(farm_settings)
    options = OcrOptions(profile="accurate")
    upload = calls.Upload("default/" + "a" * 64, "image/png", 1, plan=False)
    job = ledger(
        calls.submit(
            tenant="default", upload=upload, submission=Submission(ocr=options), cache_key="k", settings=farm_settings
        )
    ).job_id
    queue = queue_name(farm_settings.namespace, "accurate")
    ours = _published(ledger, queue)

    app = make_app(farm_settings)
    unit = json.loads(ours["body"])[0][0]
    app.send_task(TASK_READ_UNIT, args=[unit], queue=queue, ignore_result=True)
    theirs = _published(ledger, queue)

    assert ours["content-type"] == theirs["content-type"] == "application/json"
    assert ours["content-encoding"] == theirs["content-encoding"]
    assert ours["headers"]["task"] == theirs["headers"]["task"] == TASK_READ_UNIT
    assert ours["headers"]["lang"] == theirs["headers"]["lang"]
    # The same delivery, but for the encoding of the body: ours is plain, so kombu decodes nothing.
    assert ours["properties"]["delivery_info"] == theirs["properties"]["delivery_info"]
    assert set(ours["properties"]) <= set(theirs["properties"])
    assert "body_encoding" not in ours["properties"]
    # What Flower shows of it: which page of which document, and the job that asked for it first.
    run, _, number = unit.rpartition(":")
    assert ours["headers"]["argsrepr"] == f"{run}, page {number}"
    assert ours["headers"]["kwargsrepr"] == f"profile accurate, {job}"
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        mine, celerys = channel.message_to_python(ours), channel.message_to_python(theirs)
        assert [m.decode()[0] for m in (mine, celerys)] == [[unit], [unit]]
        assert mine.decode()[1] == celerys.decode()[1] == {}
    app.close()
    ledger.close()


def test_a_queue_a_profile(farm_settings: Settings) -> None:
    app = make_app(farm_settings)
    assert {q.name for q in app.conf.task_queues} == {queue_name(farm_settings.namespace, p) for p in profiles()}
    app.close()


def test_settings_that_the_promise_rests_on(farm_settings: Settings) -> None:
    conf = make_app(farm_settings).conf
    assert conf.task_acks_late
    assert not conf.task_reject_on_worker_lost
    assert conf.worker_disable_prefetch
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_time_limit < conf.broker_transport_options["visibility_timeout"]
    assert conf.accept_content == ["json"]
    assert conf.broker_transport_options["unacked_restore_interval"] == 10
    assert conf.broker_transport_options["unacked_restore_throttle"] == 1


def test_what_celery_keeps_in_redis_has_the_farms_prefix(farm_settings: Settings) -> None:
    """Two farms on one Redis would hand each other's messages back, and answer each other's remote control."""
    conf = make_app(farm_settings).conf
    mine = f"{farm_settings.namespace}:"
    options = conf.broker_transport_options
    for name in ("unacked_key", "unacked_index_key", "unacked_mutex_key"):
        assert options[name].startswith(mine)
    for name in ("control_exchange", "event_exchange", "event_queue_prefix"):
        assert conf[name].startswith(mine)
