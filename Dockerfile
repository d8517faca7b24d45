# One node: the tree, its environment, and the archives of every model whose weights are there or in a package.
FROM python:3.11-slim-bookworm

# As on a laptop, from who runs the build: which build of PyTorch, and where packages come from. `docker
# history` shows what is given here, so an index with a password in its URL is better reached through a proxy.
ARG UV_TORCH_BACKEND
ARG UV_DEFAULT_INDEX
ARG UV_INDEX_URL
ARG PIP_INDEX_URL

RUN useradd --system --user-group --home-dir /opt/pthserve --no-create-home --shell /usr/sbin/nologin pthserve \
    && install -d -o pthserve -g pthserve /opt/pthserve/model_store /var/lib/pthserve
WORKDIR /opt/pthserve

# The environment is root's, and this layer stays while the requirements do. Nobody could write bytecode at
# run time, so every start would compile PyTorch's modules: they are compiled here.
COPY pyproject.toml requirements.lock ./
COPY scripts/pthserve scripts/
RUN PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 scripts/pthserve setup

COPY --chown=pthserve:pthserve . .
RUN .venv/bin/python -c "from scripts.calling import stubs; stubs.load()"    # gRPC's, while it can be written
USER pthserve
ENV PTHSERVE_STATE=/var/lib/pthserve
RUN PIP_NO_CACHE_DIR=1 scripts/pthserve archive

EXPOSE 8000
ENTRYPOINT ["/opt/pthserve/scripts/pthserve"]
# --insecure: a container has to listen on every address of its own, and who reaches it is decided where its port is
# published. docker-compose.yml publishes on loopback alone; with other machines let in, give --keys instead.
CMD ["up", "--host", "0.0.0.0", "--insecure"]
