# One file, one image for each service: docker build --build-arg SERVICE=api --tag placewire-api .
# SERVICE: api, console, eligibility, exporter, maintenance, relay, or cli (the `placewire` command: migrations and all).
# Each has only its extra of the package and its folders (tests/e2e/test_closure.py).
ARG PYTHON=3.12.11-slim-bookworm
ARG UV=0.13.9
ARG SERVICE=api

FROM python:${PYTHON} AS python

# What uv.lock says, and nothing newer.
FROM python AS dependencies
ARG UV
ARG SERVICE
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
RUN --mount=type=cache,target=/root/.cache/pip pip install --disable-pip-version-check "uv==${UV}"
WORKDIR /app
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_PYTHON=/usr/local/bin/python UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    uv sync --frozen --no-default-groups --extra "${SERVICE}" --no-install-project
# A third of it would be symbols for debuggers, and C that is compiled already. Not of pillow, whose libraries were
# rewritten after they were linked.
RUN find /opt/venv -name "*.c" -delete && find /opt/venv -name "*.cpython-*.so" -not -path "*/PIL/*" -exec strip --strip-unneeded {} +

# For reports in scripts whose fonts PyPI does not have.
FROM python AS fonts
RUN apt-get update && apt-get install --yes --no-install-recommends fonts-noto-core && rm -rf /var/lib/apt/lists/*
WORKDIR /usr/share/fonts/truetype/noto
RUN mkdir /fonts && for script in Gujarati Gurmukhi Kannada Malayalam Oriya Sinhala Thai; do \
        cp "NotoSans${script}-Regular.ttf" /fonts/; done

# What browsers load that is not ours, by locked coordinates and checksums.
FROM python AS assets
ARG UV
RUN --mount=type=cache,target=/root/.cache/pip pip install --disable-pip-version-check "uv==${UV}"
WORKDIR /app
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_PYTHON=/usr/local/bin/python UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    uv sync --frozen --no-default-groups --extra devstack --no-install-project
COPY devstack devstack
RUN /opt/venv/bin/python -m devstack assets /assets

FROM python AS shared
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0
COPY contracts contracts
COPY chassis chassis

# Healthy means ready: the database answers. By a bare socket: whatever is imported is compiled anew for each question.
# Engine 24 has no start interval, and runs the first check after one whole interval.
FROM shared AS server
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-I", "-S", "-c", "import os, socket; s = socket.create_connection(('127.0.0.1', int(os.environ['PORT'])), 4); s.sendall(b'GET /readyz HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(64))"]

FROM server AS code-api
ENV PORT=5000
COPY services/__init__.py services/
COPY services/api services/api
COPY --from=fonts /fonts /usr/share/fonts/truetype/noto
COPY --from=assets /assets /opt/assets
ENV ASSETS_FOLDER=/opt/assets
CMD ["python", "-m", "services.api"]

FROM server AS code-eligibility
ENV PORT=5001
COPY services/__init__.py services/
COPY services/eligibility services/eligibility
CMD ["python", "-m", "services.eligibility"]

FROM server AS code-exporter
ENV PORT=5002
COPY services/__init__.py services/
COPY services/exporter services/exporter
CMD ["python", "-m", "services.exporter"]

FROM server AS code-maintenance
ENV PORT=5003
COPY services/__init__.py services/
COPY services/maintenance services/maintenance
CMD ["python", "-m", "services.maintenance"]

FROM server AS code-console
ENV PORT=5005 ASSETS_FOLDER=/opt/assets
COPY services/__init__.py services/
COPY services/console services/console
COPY --from=assets /assets /opt/assets
CMD ["python", "-m", "services.console"]

FROM server AS code-relay
ENV PORT=5004
CMD ["python", "-m", "chassis.messaging.relay_process"]

FROM shared AS code-cli
COPY services services
COPY migrations migrations
COPY cli cli
ENTRYPOINT ["python", "-m", "cli.main"]
CMD ["--help"]

FROM code-${SERVICE} AS service
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="placewire-${SERVICE}" \
      org.opencontainers.image.description="Placewire, the backend of a campus placement cell: ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=dependencies /opt/venv /opt/venv
# Compile the modules that a start imports: a read-only file system could not keep the byte code. It saves half of a
# start's processor time for 11 MB. All byte code would be 37 MB.
RUN case "${SERVICE}" in \
        api) modules="services.api.main, services.api.students.import_files.workbooks, services.api.finished_drives.report_worker, fpdf" ;; \
        relay) modules="chassis.messaging.relay_process" ;; \
        cli) modules="cli.main, cli.doctor.examination, migrations.runner, migrations.waiting" ;; \
        *) modules="services.${SERVICE}.main" ;; \
    esac; PYTHONDONTWRITEBYTECODE="" python -c "import ${modules}"
# The one folder that is written to, where files are kept in a folder: a volume goes here.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/placewire/uploads
USER 10001:10001
