"""The Celery application that Flower watches: the farm's own, but for the deliveries: Flower takes none, and looks after none of the
workers'. Named by `celery -A ocrfarm.farm.flower_app`, so that the password stands in no argument list."""

from ocrfarm_shared.queue import make_app
from ocrfarm_shared.settings import settings

app = make_app(settings())
app.conf.broker_transport_options = app.conf.broker_transport_options | {
    f"{name}_key": f"{settings().namespace}:celeryev:{name}" for name in ("unacked", "unacked_index", "unacked_mutex")
}
