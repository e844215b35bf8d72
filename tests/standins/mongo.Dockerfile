# Stand-in for mongo: a real mongod (build context `mongod`; 6.0, whatever the tag says) and the real mongosh (context
# `mongosh`: node and its modules); paths, user and volumes as in the real image.
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libcurl4 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 999 mongodb \
    && useradd --uid 999 --gid 999 --home-dir /data/db mongodb \
    && mkdir -p /data/db /data/configdb \
    && chown mongodb:mongodb /data/db /data/configdb
COPY --from=mongod mongod /usr/local/bin/
COPY --from=mongosh node /usr/local/bin/
COPY --from=mongosh node_modules /opt/mongosh/node_modules
RUN ln -s /opt/mongosh/node_modules/.bin/mongosh /usr/local/bin/mongosh
COPY mongo-entrypoint /usr/local/bin/docker-entrypoint.sh
ENV HOME=/data/db
VOLUME ["/data/db", "/data/configdb"]
EXPOSE 27017
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mongod"]
