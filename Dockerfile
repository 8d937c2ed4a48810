# An image that holds the binary and what the verifiers of code start:
#
#   docker build -t retort .
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" retort run pipelines/quickstart.yaml
FROM rust:1.95-slim-trixie AS build
WORKDIR /retort
COPY . .
RUN cargo install --locked --path crates/cli --root /installed

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /installed/bin/retort /usr/local/bin/retort
COPY LICENSE /usr/share/doc/retort/LICENSE
WORKDIR /data
ENTRYPOINT ["retort"]
CMD ["--help"]
