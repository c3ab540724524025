# A static binary (musl, SQLite and the certificate roots inside) on a small system with a shell for steps. See docs/OPERATIONS.md.
# Where both are wanted, pin the two images by their digests.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /src
COPY . .
# The images are musl themselves, so this links statically without another target. docs/RELEASE.md says what the profile is.
RUN cargo build --profile dist --locked --bin agent

FROM alpine:3.22
# Steps may want more than this shell; add what they need here, not a package manager at run time.
RUN addgroup -S -g 10001 hookhand \
 && adduser -S -D -H -u 10001 -G hookhand -h /srv -s /sbin/nologin hookhand \
 && mkdir -p /srv/data \
 && chown hookhand:hookhand /srv/data \
 && chmod 0700 /srv/data
COPY --from=build /src/target/dist/agent /usr/local/bin/agent
USER 10001:10001
# ./config.yaml is read from here and ./data written; nothing else is.
WORKDIR /srv
VOLUME /srv/data
# Within the container's own network. The environment goes before the configuration: change it here or with --env.
ENV ASSISTANT_HOST=0.0.0.0
EXPOSE 8080
STOPSIGNAL SIGTERM
# With TLS on: wget --no-check-certificate and https.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 \
  CMD wget -q -O /dev/null http://127.0.0.1:8080/health || exit 1
ENTRYPOINT ["/usr/local/bin/agent"]
CMD ["--webhooks"]
