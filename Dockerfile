# Two stages: packages and kernels are made in the first; the second holds no pip, no compiler and no sources.
# `docker build -t sadtalker .` and `docker run --init -p 8000:8000 -v sadtalker:/data sadtalker`

FROM python:3.11-slim-bookworm AS build

WORKDIR /build
# Without pip inside: the base image's pip installs into it, and it goes into the image as it is.
RUN python -m venv --without-pip /opt/sadtalker
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src src
# The second variable pins what builds the package, for pip >= 25.3.
RUN PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    pip --python /opt/sadtalker/bin/python install --no-cache-dir --no-warn-script-location .
# Compiles the renderer for this CPU, so that no container has to. On a CPU with other features a container
# compiles for itself at its start, half a minute or more.
RUN NUMBA_CACHE_DIR=/opt/kernels /opt/sadtalker/bin/sadtalker warmup


FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="SadTalker service" \
      org.opencontainers.image.description="A portrait and a recording become a talking-head video." \
      org.opencontainers.image.licenses="Apache-2.0"

# Numbers, not names, in what follows: an orchestrator that forbids root can check them.
RUN groupadd --gid 10001 sadtalker \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin sadtalker \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data /data/artefacts

COPY --from=build /opt/sadtalker /opt/sadtalker
COPY --from=build /opt/kernels /opt/kernels
COPY --chmod=0755 deploy/docker/with-kernels /usr/local/bin/with-kernels
COPY LICENSE NOTICE /usr/share/doc/sadtalker/

# /tmp and /data are all that is written to: the root file system may be read-only. Temporary files of /tmp are
# small, uploads wait in /data.
ENV PATH=/opt/sadtalker/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/tmp/kernels \
    DATA_DIR=/data \
    PORT=8000 \
    LOG_FORMAT=json

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

# Alive is enough here: whether it is ready depends on workers that may run elsewhere.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/livez', timeout=4)"]

ENTRYPOINT ["with-kernels"]
CMD ["sadtalker", "serve", "--host", "0.0.0.0"]
