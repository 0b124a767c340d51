# A bare Debian machine that becomes a node as a Raspberry Pi does: by infra/pi/install.sh. Built and started by tests/nodes/container.py.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE}
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
# The libraries first, in a layer of their own: they change seldom, and under an emulator they take long.
COPY requirements.txt /libraries/
RUN python3 -m venv /opt/ocrfarm && /opt/ocrfarm/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    -r /libraries/requirements.txt
COPY . /src/
# A token of the right form: which one holds is said when the container starts.
RUN PIP_CONSTRAINT=/libraries/requirements.txt OCRFARM_NODE_TOKEN=ocr_0000000000000000_0000000000000000000000000000000000000000000 \
    /src/infra/pi/install.sh --url http://farm:8000 --package /src/*.whl
USER ocrfarm
WORKDIR /var/lib/ocrfarm
ENV OCRFARM_STATE=/var/lib/ocrfarm
ENTRYPOINT ["/opt/ocrfarm/bin/ocrfarm"]
CMD ["worker", "join"]
