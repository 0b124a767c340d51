# The farm's one door: HAProxy from Debian, before however many gateways there are.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# Any Debian will do. It is the others' base, so that it is fetched and mended once.
FROM ${PYTHON_IMAGE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/log/*
COPY infra/docker/door.cfg /etc/haproxy/haproxy.cfg
USER 10001:10001
EXPOSE 8000
# A soft stop: what is being answered may end.
STOPSIGNAL SIGUSR1
ENTRYPOINT ["haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
