#!/usr/bin/env bash
# The real parts that the tests talk to, on one Debian machine, as root, with no image registry:
# a Docker Engine with some images, etcd and kube-apiserver; and helm, which renders the chart.
#
#   real.sh packages         install the Debian packages (root), or say which ones are missing
#   real.sh up               start everything; prints shell assignments for the tests' environment
#   real.sh down             stop all that `up` started, by the process ids that it wrote down
#
# PODBASTION_REAL   folder of the running state (default /tmp/podbastion-real)
# PODBASTION_CACHE  built binaries and images, kept between runs (default ~/.cache/podbastion)
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
DIR=${PODBASTION_REAL:-/tmp/podbastion-real}
CACHE=${PODBASTION_CACHE:-$HOME/.cache/podbastion}
KUBE=1.37.2
ETCD=v3.6.6
PACKAGES="docker.io iptables iproute2 debootstrap busybox-static openssl openssh-client openssh-server openssh-sftp-server
  dropbear-bin putty-tools python3-paramiko ssh-audit asciinema expect tmux procps util-linux less vim ed bc mc nano sshfs rsync lftp btrfs-progs ansible zsh fish mksh sqlite3 sudo gcc libc6-dev ca-certificates curl python3"

say() { echo "real: $*" >&2; }
die() { say "$*"; exit 1; }

packages() {
  local missing=()
  for p in $PACKAGES; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "the tests need root on Debian or Ubuntu and these packages: ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local try
  for try in 1 2 3; do
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then return 0; fi
    sleep $((try * 5))
  done
  die "apt-get could not install ${missing[*]}"
}

# once NAME FILE COMMAND…: runs COMMAND, which writes $OUT, unless FILE exists; one at a time, never half a file.
once() {
  local file=$1; shift
  mkdir -p "$(dirname "$file")"
  exec 9>"$file.lock"
  flock 9
  if [ ! -e "$file" ]; then
    say "making $(basename "$file") (kept in the cache)"
    OUT=$file.$$ "$@" >"$file.log" 2>&1 || { tail -n 20 "$file.log" >&2; die "could not make $file; see $file.log"; }
    mv "$file.$$" "$file"
  fi
  exec 9>&-
}

build_etcd() {
  mkdir -p "$CACHE/etcd"; cd "$CACHE/etcd"
  printf 'module etcdbin\n\ngo 1.26\n' > go.mod
  go get -tool "go.etcd.io/etcd/server/v3@$ETCD"
  go build -ldflags '-s -w' -o "$OUT" go.etcd.io/etcd/server/v3
}

# The version that internal/tools says.
build_helm() {
  (cd "$HERE/../../internal/tools" && go build -ldflags '-s -w' -o "$OUT" helm.sh/helm/v3/cmd/helm)
}

build_apiserver() {
  mkdir -p "$CACHE/kube"; cd "$CACHE/kube"
  local mod
  mod=$(cd / && GOFLAGS=-mod=mod go mod download -json "k8s.io/kubernetes@v$KUBE" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  {
    printf 'module kubebin\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$KUBE"
    # its staging modules are published apart, under v0.MINOR.PATCH
    sed -nE "s#^[[:space:]]*(k8s.io/[^ ]+) => ./staging.*#\t\1 => \1 v0.${KUBE#1.}#p" "$mod"
    printf ')\n\ntool k8s.io/kubernetes/cmd/kube-apiserver\n'
  } > go.mod
  go mod tidy
  go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$KUBE" -o "$OUT" k8s.io/kubernetes/cmd/kube-apiserver
}

image_bash() {
  local root; root=$(mktemp -d)
  debootstrap --variant=minbase --include=procps,less,vim-tiny,python3-minimal,sudo,tmux,zsh,fish bookworm "$root"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  chroot "$root" useradd -m -s /bin/bash -u 1000 dev
  chmod 755 "$root"
  tar -C "$root" -c . > "$OUT"
  rm -rf --one-file-system "$root"
}

# For file transfers and Ansible: rsync, all of Python, sudo without a password for user 1000, OpenSSH's server to compare with.
image_ansible() {
  local root; root=$(mktemp -d)
  debootstrap --variant=minbase --include=procps,python3,rsync,sudo,openssh-server,openssh-sftp-server bookworm "$root"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  chroot "$root" useradd -m -s /bin/bash -u 1000 dev
  echo 'dev ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/dev"
  chmod 440 "$root/etc/sudoers.d/dev"
  chmod 755 "$root"
  tar -C "$root" -c . > "$OUT"
  rm -rf --one-file-system "$root"
}

image_ash() {
  local root a; root=$(mktemp -d)
  mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev,root}
  chmod 1777 "$root/tmp"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for a in $("$root/bin/busybox" --list); do [ "$a" = busybox ] || ln -sf busybox "$root/bin/$a"; done
  chmod 755 "$root"
  printf 'root:x:0:0:root:/root:/bin/sh\n' > "$root/etc/passwd"
  printf 'root:x:0:\n' > "$root/etc/group"
  tar -C "$root" -c . > "$OUT"
  rm -rf "$root"
}

image_static() {
  local root; root=$(mktemp -d)
  (cd "$HERE/../images/static" && CGO_ENABLED=0 go build -ldflags '-s -w' -o "$root/static" .)
  tar -C "$root" -c static > "$OUT"
  rm -rf "$root"
}

start() { # NAME COMMAND…: in a session of its own; its process id is written down
  local name=$1; shift
  setsid "$@" > "$DIR/log/$name.log" 2>&1 < /dev/null &
  echo $! > "$DIR/$name.pid"
}

stop() { # NAME: ends what `start` started and waits until it is gone
  [ -f "$DIR/$1.pid" ] || return 0
  local pid; pid=$(cat "$DIR/$1.pid"); rm -f "$DIR/$1.pid"
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 150); do
    [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
}

wait_for() { # NAME COMMAND…: until COMMAND works, while NAME runs
  local name=$1 pid; shift
  pid=$(cat "$DIR/$name.pid")
  for _ in $(seq 600); do
    "$@" >/dev/null 2>&1 && return 0
    [ -d "/proc/$pid" ] || break
    sleep 0.2
  done
  tail -n 20 "$DIR/log/$name.log" >&2
  die "$name did not become ready; see $DIR/log/$name.log"
}

docker_() { docker -H "unix://$DIR/docker.sock" "$@"; }

up_docker() {
  once "$CACHE/images/bash-4.tar" image_bash
  once "$CACHE/images/ash-2.tar" image_ash
  once "$CACHE/images/static-1.tar" image_static
  once "$CACHE/images/ansible-1.tar" image_ansible
  # The engine finds containerd, runc and iptables in sbin folders too.
  PATH=$PATH:/usr/sbin:/sbin start dockerd dockerd --host "unix://$DIR/docker.sock" --data-root "$DIR/docker" \
    --exec-root "$DIR/docker-exec" --pidfile "$DIR/dockerd-own.pid" --bip 172.31.255.1/24 --log-level warn
  wait_for dockerd docker -H "unix://$DIR/docker.sock" version
  docker_ import --change 'CMD ["sleep","infinity"]' "$CACHE/images/bash-4.tar" podbastion/bash:test >/dev/null
  docker_ import --change 'CMD ["sleep","2147483647"]' --change 'ENV PATH=/bin' "$CACHE/images/ash-2.tar" podbastion/ash:test >/dev/null
  docker_ import --change 'CMD ["sleep","infinity"]' "$CACHE/images/ansible-1.tar" podbastion/ansible:test >/dev/null
  docker_ import --change 'CMD ["/static"]' --change 'ENV PATH=/' "$CACHE/images/static-1.tar" podbastion/static:test >/dev/null
}

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

pki() {
  mkdir -p "$DIR/pki"; cd "$DIR/pki"
  openssl genrsa -out sa.key 2048; openssl rsa -in sa.key -pubout -out sa.pub
  openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=test-ca -days 30
  local who
  for who in apiserver:/CN=kube-apiserver admin:/O=system:masters/CN=admin; do
    openssl req -newkey rsa:2048 -nodes -keyout "${who%%:*}.key" -out "${who%%:*}.csr" -subj "${who#*:}"
    openssl x509 -req -in "${who%%:*}.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -out "${who%%:*}.crt" -days 30 \
      -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:10.0.0.1")
  done
}

up_kube() {
  once "$CACHE/bin/etcd" build_etcd
  once "$CACHE/bin/kube-apiserver" build_apiserver
  pki >"$DIR/log/pki.log" 2>&1 || { cat "$DIR/log/pki.log" >&2; die "openssl failed"; }
  cd "$DIR"
  local etcd peer api
  etcd=$(free_port); peer=$(free_port); api=$(free_port)
  start etcd "$CACHE/bin/etcd" --data-dir "$DIR/etcd" --listen-client-urls "http://127.0.0.1:$etcd" \
    --advertise-client-urls "http://127.0.0.1:$etcd" --listen-peer-urls "http://127.0.0.1:$peer" --unsafe-no-fsync
  start apiserver "$CACHE/bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd" --bind-address=127.0.0.1 \
    --advertise-address=127.0.0.1 --secure-port="$api" --service-cluster-ip-range=10.0.0.0/24 \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$DIR/pki/sa.pub" \
    --service-account-signing-key-file="$DIR/pki/sa.key" --client-ca-file="$DIR/pki/ca.crt" \
    --tls-cert-file="$DIR/pki/apiserver.crt" --tls-private-key-file="$DIR/pki/apiserver.key" \
    --authorization-mode=Node,RBAC --allow-privileged=true --endpoint-reconciler-type=none
  local b64='base64 -w0'
  cat > "$DIR/admin.conf" <<C
apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$api", certificate-authority-data: $($b64 pki/ca.crt)}}]
users: [{name: u, user: {client-certificate-data: $($b64 pki/admin.crt), client-key-data: $($b64 pki/admin.key)}}]
C
  wait_for apiserver curl -sf --cacert pki/ca.crt --cert pki/admin.crt --key pki/admin.key "https://127.0.0.1:$api/readyz"
}

up() {
  mkdir -p "$DIR/log"
  chmod 700 "$DIR"
  local helm; helm=$CACHE/bin/helm-$(sha256sum "$HERE/../../internal/tools/go.sum" | cut -c1-12)
  once "$helm" build_helm
  up_docker
  up_kube
  echo "export PODBASTION_REAL=$DIR PODBASTION_DOCKER=unix://$DIR/docker.sock PODBASTION_KUBECONFIG=$DIR/admin.conf PODBASTION_HELM=$helm"
}

down() {
  if [ -f "$DIR/dockerd.pid" ]; then
    local ids; ids=$(docker_ ps -aq 2>/dev/null || true)
    [ -z "$ids" ] || docker_ rm -f $ids >/dev/null 2>&1 || true
  fi
  stop apiserver; stop etcd; stop dockerd
}

case ${1:-} in
  packages) packages ;;
  up) up ;;
  down) down ;;
  *) sed -n '2,11p' "$0"; exit 2 ;;
esac
