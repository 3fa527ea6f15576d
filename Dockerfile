# The server alone; docker-compose.yml puts MongoDB beside it.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p hypersend-server

FROM debian:bookworm-slim
# The folder is made here so that the volume belongs to whom the server runs as.
RUN groupadd --gid 10001 hypersend && useradd --uid 10001 --gid 10001 hypersend \
    && install -d -o hypersend -g hypersend -m 0700 /var/lib/hypersend
COPY --from=build /src/target/release/hypersend-server /usr/local/bin/
USER 10001:10001
WORKDIR /var/lib/hypersend
EXPOSE 8443/udp 8443/tcp 8444/udp 8445/udp
ENTRYPOINT ["hypersend-server"]
