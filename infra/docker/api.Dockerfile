# The gateway, the dispatcher and the set-up: HTTP, the ledger, the queue. No OpenCV, no ONNX Runtime, no weights.
# Built from the repository's root; every image of the farm is made the same way:
#   - the base is PYTHON_IMAGE (Debian with a Python of 3.11 or newer), the same in both stages
#   - libraries are those of uv.lock, by hash; PIP_INDEX_URL and pip's other settings, as build arguments, say where they come from
#   - the commit that it is made from is the last layer, so that a new commit makes no other layer anew
# Nothing here needs BuildKit: Debian's docker-compose builds it too.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
WORKDIR /src
COPY pyproject.toml uv.lock infra/docker/install.sh ./
RUN sh install.sh libraries api
COPY . .
RUN sh infra/docker/install.sh ocrfarm && rm -rf /opt/ocrfarm/lib/python3*/site-packages/ocrfarm_models/weights

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/ocrfarm /opt/ocrfarm
COPY infra/redis infra/docker/setup.py infra/docker/health.py /opt/ocrfarm/share/
# A volume takes its owner from the folder of the image that it is first mounted on: all of them are first mounted here, by the set-up.
RUN mkdir -m 0750 /volumes && cd /volumes && mkdir -m 0700 state redis prometheus grafana owner redis-secrets gateway-secrets \
        dispatcher-secrets worker-secrets flower-secrets grafana-secrets metrics-secrets \
    && chown -R 10001:10001 /volumes
ENV PATH=/opt/ocrfarm/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OCRFARM_STATE=/volumes/state OCRFARM_HOST=0.0.0.0
USER 10001:10001
WORKDIR /volumes/state
EXPOSE 8000
ENTRYPOINT ["ocrfarm"]
CMD ["api"]
ARG OCRFARM_COMMIT=
ENV OCRFARM_COMMIT=${OCRFARM_COMMIT}
