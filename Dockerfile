# One image for every service of ours: the code location, Dagster's webserver and daemon, MLflow's server, the simulator.
# Which of them a container is, its command in docker-compose.yml says.

FROM python:3.11.14-slim-bookworm AS builder

# Where pip's index has torch with CUDA (PyPI has, for x86-64), name PyTorch's own index of CPU builds here: the check below
# stops a build that would carry several gigabytes of CUDA.
ARG TORCH_INDEX_URL=""

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/thumbrank

# The dependencies first: a change of our code alone does not install two gigabytes again.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    extras = project['optional-dependencies']; \
    print(*project['dependencies'], *(line for name in ('demo', 's3', 'docker', 'k8s') for line in extras[name]), sep='\n')" \
    > requirements.txt \
    && /opt/thumbrank/bin/pip install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
    --constraint constraints.txt --requirement requirements.txt \
    && /opt/thumbrank/bin/python -c "import sys, torch; \
    sys.exit('torch came with CUDA: build with TORCH_INDEX_URL naming an index of CPU builds' if torch.version.cuda else 0)"

COPY README.md LICENSE ./
COPY config config
COPY sql sql
COPY thumbrank_core thumbrank_core
COPY thumbrank_dagster thumbrank_dagster
RUN /opt/thumbrank/bin/pip install --no-deps .


FROM python:3.11.14-slim-bookworm AS runtime

# Owned by the account that writes there: a named volume takes the owner of the folder that it covers.
RUN groupadd --gid 10001 thumbrank \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin thumbrank \
    && install --directory --owner 10001 --group 10001 /state /artifacts

COPY --from=builder /opt/thumbrank /opt/thumbrank
COPY deploy/workspace.yaml /app/deploy/workspace.yaml

# /tmp and the two volumes are all that can be written; models are fetched once, onto the volume.
ENV PATH=/opt/thumbrank/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    HF_HOME=/state/huggingface \
    THUMBRANK_HOME=/state \
    DAGSTER_HOME=/state/dagster \
    THUMBRANK_DEPLOYMENT=server \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    HF_HUB_DISABLE_TELEMETRY=1 \
    GIT_PYTHON_REFRESH=quiet \
    TOKENIZERS_PARALLELISM=false

WORKDIR /app
USER 10001:10001
CMD ["thumbrank", "--help"]
