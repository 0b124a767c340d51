"""The Celery application that Flower watches: the farm's own, so that its transport settings are everybody's (the shortest visibility
timeout of all clients wins). Named by `celery -A ocrfarm.farm.flower_app`, so that the password stands in no argument list."""

from ocrfarm_shared.queue import make_app
from ocrfarm_shared.settings import settings

app = make_app(settings())
