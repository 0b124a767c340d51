# A bare Debian machine that becomes a node as a Raspberry Pi does: by infra/pi/install.sh. Built and started by tests/nodes/container.py.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE}
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
# The libraries first, in a layer of their own: they change seldom. site-packages holds them already where the machine is an emulated one.
COPY requirements.txt /libraries/
COPY site-packages /libraries/site-packages
RUN python3 -m venv /opt/ocrfarm && cp -r /libraries/site-packages /opt/ocrfarm/lib/python3.11/ && rm -r /libraries/site-packages && \
    /opt/ocrfarm/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check -r /libraries/requirements.txt
COPY infra /src/infra
COPY *.whl /src/
# A token of the right form: which one holds is said when the container starts.
RUN PIP_CONSTRAINT=/libraries/requirements.txt OCRFARM_NODE_TOKEN=ocr_0000000000000000_0000000000000000000000000000000000000000000 \
    /src/infra/pi/install.sh --url http://farm:8000 --package /src/*.whl
USER ocrfarm
WORKDIR /var/lib/ocrfarm
ENV OCRFARM_STATE=/var/lib/ocrfarm
ENTRYPOINT ["/opt/ocrfarm/bin/ocrfarm"]
CMD ["worker", "join"]
