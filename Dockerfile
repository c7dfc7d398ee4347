# syntax=docker/dockerfile:1
# The image of every process: `docker build -t infrakitchen-slack .`, then `docker run infrakitchen-slack up --only worker`.
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements-hashed.txt ./
RUN python3 -m venv /opt/infrakitchen-slack \
    && /opt/infrakitchen-slack/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes -r requirements-hashed.txt
COPY pyproject.toml README.md LICENSE Procfile ./
COPY worker worker
COPY config config
RUN /opt/infrakitchen-slack/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
    && /opt/infrakitchen-slack/bin/python -m compileall -q /opt/infrakitchen-slack/lib

FROM ${BASE}
# The root file system may be read-only: DATA_DIR and /tmp are the only places that are written to.
ENV PATH=/opt/infrakitchen-slack/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    DATA_DIR=/data \
    LOG_FORMAT=json \
    ROLE=worker
RUN mkdir -m 0700 /data && chown 10001:10001 /data
COPY --from=build /opt/infrakitchen-slack /opt/infrakitchen-slack
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/tmp"]
EXPOSE 8765 5555
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=20s --timeout=10s --start-period=60s CMD ["sh", "-c", "exec ik-slack alive \"$ROLE\""]
# `up` is made for process 1: it passes signals on, waits for processes that lose their parent, and ends within 25 s.
ENTRYPOINT ["ik-slack"]
CMD ["up", "--only", "worker"]
