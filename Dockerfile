# The service as a small image: `docker build -t eyego .`
# Embedded:            docker run -p 127.0.0.1:3000:3000 -v eyego:/data eyego
# Kafka and MongoDB:   docker run … -e KAFKA_BROKERS=… -e MONGO_URI=… eyego   (or docker-compose.yml, k8s/)

FROM rust:1-bookworm AS build
# gcc, make and perl, which librdkafka, OpenSSL and SQLite are built with, are part of this image.
WORKDIR /build

# The dependencies in a layer of their own: it is built again only when Cargo.toml or Cargo.lock change. What was built
# of the stand-in program is removed, since Cargo tells new from old by file times, and those of a checkout may be older
# than this layer: the stand-in would be shipped.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --locked --profile dist --bin eyego \
    && cargo clean --locked --profile dist --package eyego \
    && rm -r src

COPY . .
RUN cargo build --locked --profile dist --bin eyego


FROM debian:bookworm-slim

# The certificate authorities that public Kafka and MongoDB services are known by.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=65532 --group=65532 --mode=0750 /data

COPY --from=build /build/target/dist/eyego /usr/local/bin/eyego

LABEL org.opencontainers.image.title="eyego" \
      org.opencontainers.image.description="Takes user activity logs over HTTP, queues them durably, stores each exactly once, and serves them back" \
      org.opencontainers.image.licenses="MIT"

# In a container the service has to listen on all addresses; which of them are reached is decided by who publishes them.
ENV HOST=0.0.0.0 \
    DATA_DIR=/data

# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["eyego", "healthcheck"]
ENTRYPOINT ["eyego"]
