"""Flower's own settings in a container: it listens to all, so it asks for a login; it shows and changes nothing."""

from pathlib import Path

address = "0.0.0.0"  # noqa: S104 - of its container; docker-compose.yml publishes it on 127.0.0.1 alone
port = 5555
read_only = True
basic_auth = [Path("/volumes/flower-secrets/login").read_text("ascii").strip()]
# Which page of which run, before Celery's own id.
tasks_columns = "name,args,kwargs,state,received,runtime,worker"
