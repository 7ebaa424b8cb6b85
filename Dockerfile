# syntax=docker/dockerfile:1.20

# The gateway. Build: docker build -t bekci .   Try: docker run --rm -p 127.0.0.1:8080:8080 bekci demo --listen 0.0.0.0:8080
# Rust as in rust-version of Cargo.toml; a test compares the two.
ARG RUST_VERSION=1.94
ARG DEBIAN=bookworm

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /src
# The dependencies are a layer of their own, built from the manifests alone: a change of our code does not build them again.
COPY --parents Cargo.toml Cargo.lock **/Cargo.toml ./
RUN find . -mindepth 2 -name Cargo.toml -execdir sh -c 'mkdir -p src && : >src/lib.rs && echo "fn main() { }" >src/main.rs' ';' \
    && cargo build --profile dist --locked -p bekci-gateway
COPY config config
COPY migration migration
COPY crates crates
# cargo goes by the time of a file, and ours may be older than the empty ones that were just built.
RUN find crates migration -name '*.rs' -exec touch {} + \
    && cargo build --profile dist --locked -p bekci-gateway \
    && mkdir -p /image/srv/bekci/data/keys /image/usr/local/bin /image/etc/ssl/certs \
    && cp target/dist/bekci /image/usr/local/bin/ \
    && cp -r config /image/srv/bekci/ \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && chmod 700 /image/srv/bekci/data /image/srv/bekci/data/keys

FROM debian:${DEBIAN}-slim
# A number, so that Kubernetes can see that it is not root. A volume that is made on /srv/bekci/data takes this owner.
RUN groupadd --gid 10001 bekci && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin bekci
COPY --from=build /image/usr /usr
COPY --from=build /image/etc /etc
COPY --from=build --chown=10001:10001 /image/srv/bekci /srv/bekci
WORKDIR /srv/bekci
USER 10001:10001
# Within a container loopback is nobody's: 8080 is for the public, 8081 for those who run it. Publish the first alone.
ENV BEKCI__SERVER__LISTEN=0.0.0.0:8080 \
    BEKCI__SERVER__OPS_LISTEN=0.0.0.0:8081
EXPOSE 8080 8081
VOLUME ["/srv/bekci/data"]
# Ready: the database, the schema, the cache and the keys. bash speaks TCP by itself, so that no program is put in for this.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r -t 4 answer <&3 && [[ $answer == HTTP/1.[01]' 200'* ]]"]
ENTRYPOINT ["bekci"]
CMD ["serve"]
