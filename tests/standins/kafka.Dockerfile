# Stand-in for apache/kafka: the same jars (build context `jars`) and the same program that turns KAFKA_* variables into
# server.properties, on Debian's Java instead of Temurin's on Alpine; paths, user and volumes as in the real image.
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home appuser \
    && mkdir -p /opt/kafka/config /etc/kafka/docker /etc/kafka/secrets /mnt/shared/config /var/lib/kafka/data \
    && touch /opt/kafka/config/server.properties \
    && chown -R appuser /opt/kafka /etc/kafka /mnt/shared/config /var/lib/kafka
COPY --from=jars . /opt/kafka/libs
COPY kafka-run /etc/kafka/docker/run
USER appuser
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
EXPOSE 9092
CMD ["/etc/kafka/docker/run"]
