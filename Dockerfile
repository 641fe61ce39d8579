# keystow's image: one static program and the certificates of public CAs, for a user that is not root. Nothing else is in
# it, no shell and no libc; what a pod mounts (/secret, /annotations, /etc/keystow, …) the kubelet makes.
#
#   docker build --tag keystow:0.1.0 .             or `make image`, which also takes podman or buildah
#   docker buildx build --platform linux/amd64,linux/arm64 --tag registry.example/keystow:0.1.0 --push .
#
# Nothing here names an architecture: each platform compiles for itself. Give buildx a native node for each: under
# emulation, optimising the whole program at once takes very long.
#
# Why glibc and not musl: it is what every test and every benchmark of this project runs on, and musl's allocator and
# copying of memory are slower. The usual objection to a static glibc is names: before 2.34 it loaded libnss_dns.so at run
# time. Since then files and DNS are built in (Debian 12 has 2.36), and tests/image asks a name server from inside.

# By tag, for security updates. Pin a digest (RUST_IMAGE=rust:1.95-bookworm@sha256:…) to build with the same compiler again.
# podman and buildah may want the full name, with the registry.
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
# All of them: traces cost nothing until they are asked for, and whoever asks should not need another image. This and the
# line with RUSTFLAGS are read by tests/image/build.sh too, which compiles outside of the image.
ARG FEATURES=--all-features
ENV CARGO_INCREMENTAL=0 RUSTFLAGS="-C target-feature=+crt-static"
WORKDIR /src
# Cargo looks for the benchmarks, because their paths are not in Cargo.toml.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY src src
# The builder keeps what Cargo fetched and compiled for the next time. COPY keeps the times of files, and Cargo takes what is
# older than its last build for built; hence `touch`. `--target`, although it is the host: only so do build scripts and
# macros, which must be dynamic, stay without RUSTFLAGS. aws-lc needs the C compiler that the image has, and no cmake.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    touch src/lib.rs src/main.rs \
 && cargo build --locked --release $FEATURES --target host-tuple --bin keystow \
 && cp target/"$(rustc --print host-tuple)"/release/keystow /keystow

# A build context of the name `build` (docker, podman, buildah: --build-context build=DIRECTORY) takes the place of the
# stage above. So a program that was compiled elsewhere comes into the same image, and nothing is pulled.
FROM scratch
# Held against Cargo.toml by the image's test.
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="keystow" \
      org.opencontainers.image.description="Mutating admission webhook that gives Kubernetes pods all they need to get their secrets" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# Where rustls and most libraries look for CAs: stores of clouds, and collectors of traces. The API server's is in the pod.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /keystow /keystow
# By number: there is no /etc/passwd, and runAsNonRoot believes numbers only.
USER 65532:65532
ENTRYPOINT ["/keystow"]
