# The image of the service. By default it runs the mesh engine:
#
#     docker build -t sadtalker .
#
# EXTRAS adds the neural engine (`sadtalker`) and its enhancers (`enhance`). TORCH is `cpu` or `cuda`:
#
#     docker build -t sadtalker:gpu --build-arg EXTRAS=sadtalker,enhance --build-arg TORCH=cuda .
#
# Two stages: the first installs packages and compiles kernels. The second has no pip, no compiler and no sources. With
# TORCH=cuda it has gcc and Python's headers, because Triton builds its launchers for the GPU that it finds at run time.

# By digest, so that every build starts from the same files. Security updates of the base image need a new digest:
#     docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
# Put it here (currently python 3.11.16), build, and run the tests in tests/deploy.
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE_IMAGE} AS build

ARG EXTRAS=""
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /build
# Without pip, because the base image's pip installs into it and the environment is copied into the image unchanged.
RUN python -m venv --without-pip /opt/sadtalker
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src src
COPY --chmod=0755 deploy/docker/install-packages /usr/local/bin/install-packages
RUN EXTRAS="$EXTRAS" TORCH="$TORCH" TORCH_INDEX="$TORCH_INDEX" install-packages
# Compile the renderer, so that no container has to. The target is x86-64 without extensions, which runs everywhere.
# Code for this machine's processor would be recompiled on another one, and is no faster (docs/operations.md).
RUN NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/opt/kernels /opt/sadtalker/bin/sadtalker warmup --engine mesh


FROM ${BASE_IMAGE}

LABEL org.opencontainers.image.title="SadTalker service" \
      org.opencontainers.image.description="Makes talking-head videos from a source image and driven audio." \
      org.opencontainers.image.licenses="Apache-2.0"

# Numeric ids instead of names: an orchestrator that forbids root can check them. A new volume gets the owner of the
# folder that it is mounted on. The base image's pip is removed, since nothing is installed here.
ARG TORCH=cpu
RUN groupadd --gid 10001 sadtalker \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin sadtalker \
    && install --directory --owner=10001 --group=10001 --mode=0700 \
        /data /data/artefacts /checkpoints /run/sadtalker \
    && rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/lib/python3*/site-packages/* \
        /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/config-* \
    && if [ "$TORCH" = cuda ]; then \
        apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends gcc libc6-dev \
        && rm -rf /var/lib/apt/lists/*; \
    else rm -rf /usr/local/include; fi

COPY --from=build /opt/sadtalker /opt/sadtalker
COPY --from=build /opt/kernels /opt/kernels
COPY --chmod=0755 deploy/docker/with-kernels /usr/local/bin/with-kernels
COPY LICENSE NOTICE /usr/share/doc/sadtalker/

# The service writes only to /tmp and /data, so the root file system may be read-only. Temporary files in /tmp are
# small; uploads go to /data. Set PUBLISH_ADDRESS to the address on which the port is published. The default assumes
# that it is open to all, which requires API_KEYS.
ENV PATH=/opt/sadtalker/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/tmp/kernels \
    DATA_DIR=/data \
    SADTALKER_CHECKPOINTS_PATH=/checkpoints \
    PUBLISH_ADDRESS=0.0.0.0 \
    PORT=8000 \
    LOG_FORMAT=json

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

# Check only that it is alive: readiness depends on workers that may run elsewhere.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/livez', timeout=4)"]

ENTRYPOINT ["with-kernels"]
CMD ["sadtalker", "serve", "--host", "0.0.0.0"]
