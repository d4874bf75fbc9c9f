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
COPY --chmod=755 deploy/health.sh /usr/local/bin/muneem-health
COPY --from=build /usr/local/bin/muneem /usr/local/bin/muneem
USER muneem
# The embedded store's folder is the truth of all money: mount a volume at /var/lib/muneem where it is used.
ENV MUNEEM_MODE=production \
    MUNEEM_LISTEN=0.0.0.0:8080 \
    MUNEEM_DATA_DIR=/var/lib/muneem
EXPOSE 8080
# Long, so that a replay of a large journal may end before the first check counts.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10m --retries=3 CMD ["muneem-health", "/health/live"]
ENTRYPOINT ["muneem"]
CMD ["serve"]
