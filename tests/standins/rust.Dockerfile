# Stand-in for rust:1-bookworm: Debian, what that image has of compilers, and this machine's Rust (build context `toolchain`).
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev make perl pkg-config \
    && rm -rf /var/lib/apt/lists/*
COPY --from=toolchain bin /usr/local/bin
COPY --from=toolchain lib /usr/local/lib
ENV CARGO_HOME=/usr/local/cargo
# How this machine's cargo reaches its registry, if that is configured in a file.
COPY --from=cargo . /usr/local/cargo
