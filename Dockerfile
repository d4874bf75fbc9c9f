# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay on the building machine, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p muneem && cp target/release/muneem /usr/local/bin/muneem

FROM debian:bookworm-slim
# The roots that outgoing TLS (payment gateways, SMS) is checked against.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin muneem \
    && install -d -o muneem -g muneem -m 700 /var/lib/muneem
COPY --from=build /usr/local/bin/muneem /usr/local/bin/muneem
USER muneem
ENV MUNEEM_MODE=production \
    MUNEEM_LISTEN=0.0.0.0:8080 \
    MUNEEM_DATA_DIR=/var/lib/muneem
# The journal: the truth of all money. Back it up.
VOLUME /var/lib/muneem
EXPOSE 8080
# Long, so that a replay of a large journal may end before the first check counts.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10m --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /health/live HTTP/1.0\\r\\n\\r\\n' >&3; head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["muneem"]
CMD ["serve"]
