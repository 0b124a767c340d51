# Flower: what the workers are doing, to be looked at. How it is made: api.Dockerfile says it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
WORKDIR /src
COPY pyproject.toml uv.lock infra/docker/install.sh ./
RUN sh install.sh libraries flower
COPY . .
RUN sh infra/docker/install.sh ocrfarm && rm -rf /opt/ocrfarm/lib/python3*/site-packages/ocrfarm_models/weights

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/ocrfarm /opt/ocrfarm
COPY infra/docker/flowerconfig.py infra/docker/health.py /opt/ocrfarm/share/
RUN mkdir -m 0750 /volumes && mkdir -m 0700 /volumes/flower-secrets && chown -R 10001:10001 /volumes
ENV PATH=/opt/ocrfarm/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 5555
ENTRYPOINT ["celery", "-A", "ocrfarm.farm.flower_app", "flower"]
CMD ["--conf=/opt/ocrfarm/share/flowerconfig.py"]
ARG OCRFARM_COMMIT=
ENV OCRFARM_COMMIT=${OCRFARM_COMMIT}
