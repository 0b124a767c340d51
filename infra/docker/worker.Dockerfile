# The farm hands: pixels and models. No FastAPI. How it is made: api.Dockerfile says it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# Where the models are made. BuildKit knows the building machine's platform; the builder without it takes this, or amd64.
ARG MODELS_PLATFORM

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
WORKDIR /src
COPY pyproject.toml uv.lock infra/docker/install.sh ./
RUN sh install.sh libraries worker
COPY . .
RUN sh infra/docker/install.sh ocrfarm
RUN sh infra/docker/install.sh slim

# The models that are made from others (8 bits, reduced outputs): made here, so that a container is ready when it starts. The files are the
# same for every kind of machine, so the machine that builds makes them, emulating nothing.
FROM --platform=${MODELS_PLATFORM:-${BUILDPLATFORM:-linux/amd64}} ${PYTHON_IMAGE} AS models
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
WORKDIR /src
COPY pyproject.toml uv.lock infra/docker/install.sh ./
RUN sh install.sh libraries worker
COPY . .
RUN sh infra/docker/install.sh ocrfarm
RUN OCRFARM_MODEL_FOLDER=/models /opt/ocrfarm/bin/ocrfarm models build && rm -f /models/*.lock

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/ocrfarm /opt/ocrfarm
COPY --from=models /models /opt/ocrfarm/models
COPY infra/docker/health.py /opt/ocrfarm/share/
RUN mkdir -m 0750 /volumes && mkdir -m 0700 /volumes/state /volumes/worker-secrets && chown -R 10001:10001 /volumes
ENV PATH=/opt/ocrfarm/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OCRFARM_STATE=/volumes/state \
    OCRFARM_MODEL_FOLDER=/opt/ocrfarm/models GLIBC_TUNABLES=glibc.malloc.hugetlb=1
USER 10001:10001
WORKDIR /volumes/state
ENTRYPOINT ["ocrfarm"]
CMD ["worker"]
ARG OCRFARM_COMMIT=
ENV OCRFARM_COMMIT=${OCRFARM_COMMIT}
