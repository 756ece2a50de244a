# Shared by the scripts beside it; sourced, never run.
#
# Owns what must be on the machine (build tools, the services' programs under target/tools) and the
# start and stop of the shared test services under target/services. A missing part is installed on
# Debian, named elsewhere, and never skipped in silence. Does not build or test Clawback itself.
# shellcheck shell=bash

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ROOT/target/tools
SERVICES=$ROOT/target/services
CTL=$ROOT/tests/services/ctl
export CLAWBACK_TEST_TOOLS=$TOOLS
cd "$ROOT"

# Progress and complaints go to standard error: standard output belongs to what a script runs.
say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# A part is a name that `has_part` can look for. Parts that a system package brings are installed
# by that package on Debian; `cargo` is not, because the toolchain is the developer's own choice.
has_part() {
  case $1 in
    cargo) cargo_is_new_enough ;;
    # librdkafka's configure asks for one, though what is built of it is C.
    c++) [ -n "$(command -v c++ || command -v g++ || command -v clang++)" ] ;;
    make | cc | pkg-config | mvn | npm) command -v "$1" >/dev/null ;;
    openssl | zlib) command -v pkg-config >/dev/null && pkg-config --exists "$1" ;;
    postgresql) [ -n "$(find_postgres)" ] ;;
    mariadb) [ -n "$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mariadbd)" ] ;;
    nginx) [ -n "$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)" ] ;;
    rt) [ -x /usr/share/request-tracker5/libexec/rt-server ] && [ -f /usr/share/doc/rt5-standalone/copyright ] && [ -f /usr/share/doc/rt5-db-sqlite/copyright ] ;;
    chromium) [ -n "$(find_chromium)" ] ;;
    slapd) [ -n "$(PATH=$PATH:/usr/sbin:/usr/libexec command -v slapd)" ] ;;
    # ensurepip is what Debian splits off into python3-venv; 3.9 is the oldest that ctl runs on.
    python) python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' 2>/dev/null ;;
    java) [ "$(java_version)" -ge 17 ] ;;
    *) fail "has_part: unknown part $1" ;;
  esac
}

debian_package() {
  case $1 in
    cc) echo gcc ;;
    c++) echo g++ ;;
    slapd) echo slapd ldap-utils ;;
    rt) echo request-tracker5 rt5-db-sqlite rt5-standalone ;;
    make | nginx) echo "${1/nginx/nginx-light}" ;;
    pkg-config) echo pkg-config ;;
    openssl) echo libssl-dev ;;
    zlib) echo zlib1g-dev ;;
    postgresql) echo postgresql ;;
    mariadb) echo mariadb-server ;;
    python) echo python3 python3-venv ;;
    chromium) echo chromium ;;
    npm) echo npm ;;
    java) echo default-jre-headless ;;
    mvn) echo maven ;;
  esac
}

# The oldest Rust that builds Clawback, and the one that is here, if one is.
rust_wanted() { sed -nE 's/^rust-version = "([0-9.]+)".*/\1/p' "$ROOT/Cargo.toml"; }
rust_here() { { cargo --version 2>/dev/null || true; } | sed -nE 's/^cargo ([0-9.]+).*/\1/p'; }

cargo_is_new_enough() {
  local here
  here=$(rust_here)
  [ -n "$here" ] && printf '%s\n%s\n' "$(rust_wanted)" "$here" | sort -V -C
}

find_postgres() {
  local found
  found=$(find /usr/lib/postgresql/*/bin -name initdb 2>/dev/null | sort -V | tail -n 1)
  [ -n "$found" ] || found=$(command -v initdb || true)
  echo "$found"
}

find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome || true; }

java_version() {
  local major
  major=$(java -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p' || true)
  echo "${major:-0}"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_install() {
  command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

# missing_parts PART... — prints those that are not here.
missing_parts() {
  local part
  for part in "$@"; do has_part "$part" || echo "$part"; done
}

# install_parts PART... — tries to bring what is missing; says nothing about success.
install_parts() {
  local missing packages=() part
  missing=$(missing_parts "$@")
  if [ -z "$missing" ] || ! can_install; then return 0; fi
  for part in $missing; do
    # shellcheck disable=SC2046 # one part may be two packages
    packages+=($(debian_package "$part"))
  done
  [ ${#packages[@]} -gt 0 ] || return 0
  say "installing ${packages[*]}"
  # RUNLEVEL=1: the packages must not start services of their own; ours are private.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null >&2 || true
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -q --no-install-recommends "${packages[@]}" </dev/null >&2 || true
}

# require_parts PART... — installs what is missing, then fails with the names of what still is.
require_parts() {
  local missing part here hints=""
  install_parts "$@"
  missing=$(missing_parts "$@")
  [ -n "$missing" ] || return 0
  for part in $missing; do
    if [ "$part" = cargo ]; then
      here=$(rust_here)
      hints+=$'\n'"  cargo: Rust $(rust_wanted) or newer (here: ${here:-none}); install it from https://rustup.rs,"
      hints+=$'\n'"    as a distribution's own is often too old, and put ~/.cargo/bin first in PATH"
    else
      hints+=$'\n'"  $part: the package $(debian_package "$part") on Debian; install its like here"
    fi
  done
  fail "missing:$hints"
}

BUILD_PARTS=(cargo cc c++ make pkg-config openssl zlib)

# fetch_pypi NAME REQUIREMENTS VENV PROGRAM — a server from PyPI, in an environment of its own: they need
# libraries of different ages. Its programs name their interpreter by its full path, so one that was moved is
# installed anew.
fetch_pypi() {
  local name=$1 want=$ROOT/tests/services/$2 venv program=$4
  venv=$(realpath -m "$TOOLS/$3")
  cmp -s "$want" "$venv/requirements.txt" && head -n 3 "$venv/bin/$program" 2>/dev/null | grep -qaF "$venv/bin/" &&
    return 0
  say "installing $name into ${venv#"$ROOT/"}"
  rm -rf "$venv"
  python3 -m venv "$venv" >&2
  "$venv/bin/python" -m pip install -q --disable-pip-version-check -r "$want" </dev/null >&2 ||
    fail "$name could not be installed from PyPI"
  cp "$want" "$venv/requirements.txt"
}

fetch_scim() { fetch_pypi scim2-server requirements.txt venv scim2-server; }
# An OAuth server with a JSON API.
fetch_canaille() { fetch_pypi Canaille canaille.txt canaille canaille; }
# Stands for AWS IAM.
fetch_moto() { fetch_pypi moto moto.txt moto moto_server; }
# Tries the console's API.
fetch_schemathesis() { fetch_pypi schemathesis schemathesis.txt schemathesis schemathesis; }

# axe-core, by whose rules the console's pages are judged, comes from npm.
fetch_axe() {
  local want=$ROOT/tests/browser/package.json home=$TOOLS/axe
  cmp -s "$want" "$home/package.json" && [ -f "$home/node_modules/axe-core/axe.min.js" ] && return 0
  say "installing axe-core into target/tools/axe"
  rm -rf "$home"
  mkdir -p "$home"
  cp "$want" "$home/package.json"
  npm install --prefix "$home" --no-audit --no-fund --ignore-scripts </dev/null >&2 ||
    fail "axe-core could not be installed from npm"
}

# Apache Kafka comes from Maven Central as jars. Returns 1 with the reason on standard output where
# it cannot be had: the caller decides whether the embedded broker may stand in.
fetch_kafka() {
  local want=$ROOT/tests/services/kafka/pom.xml home=$TOOLS/kafka try
  install_parts java
  has_part java || { echo "no Java 17"; return 1; }
  cmp -s "$want" "$home/pom.xml" && return 0
  install_parts mvn
  has_part mvn || { echo "no Maven"; return 1; }
  say "fetching Apache Kafka from Maven Central into target/tools/kafka"
  for try in 1 2 3; do
    rm -rf "$home.new"
    mkdir -p "$home.new"
    if mvn -B -q -f "$want" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DincludeScope=runtime "-DoutputDirectory=$home.new/libs" </dev/null >&2; then
      cp "$want" "$home.new/pom.xml"
      rm -rf "$home"
      mv "$home.new" "$home"
      return 0
    fi
    say "Maven failed (try $try of 3)"
  done
  echo "Maven could not fetch it"
  return 1
}

# Keycloak comes from Maven Central as a distribution, and is built once for its database and with the
# rotation of client secrets, which is a preview there.
fetch_keycloak() {
  local want=$ROOT/tests/services/keycloak/pom.xml home=$TOOLS/keycloak try
  require_parts java
  cmp -s "$want" "$home/pom.xml" && return 0
  require_parts mvn
  say "fetching Keycloak from Maven Central into target/tools/keycloak"
  for try in 1 2 3; do
    rm -rf "$home.new" "$home"
    mkdir -p "$home.new"
    if mvn -B -q -f "$want" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack-dependencies \
      -DincludeTypes=zip "-DoutputDirectory=$home.new" "-DmarkersDirectory=$home.new/markers" </dev/null >&2; then
      mv "$home.new"/keycloak-*/ "$home"
      rm -rf "$home.new"
      say "building Keycloak"
      if sh "$home/bin/kc.sh" build --db=dev-file --features=client-secret-rotation </dev/null >&2; then
        cp "$want" "$home/pom.xml"
        return 0
      fi
    fi
    say "it failed (try $try of 3)"
  done
  fail "Keycloak could not be fetched and built"
}

# services_up KIND... — the shared instances, side by side; fails with the name of one that does not start.
services_up() {
  local kind pids=() failed=()
  say "starting $*"
  for kind in "$@"; do
    "$CTL" up "$kind" "$SERVICES/shared" >/dev/null &
    pids+=($!)
  done
  for kind in "$@"; do
    wait "${pids[0]}" || failed+=("$kind")
    pids=("${pids[@]:1}")
  done
  [ ${#failed[@]} -eq 0 ] || fail "did not start: ${failed[*]}"
}

services_down() {
  if [ -d "$SERVICES" ]; then "$CTL" down "$SERVICES"; fi
}

service() { "$CTL" get "$1" "$SERVICES/shared" "$2"; }

# What the tests read; documented in tests/services/README.md.
services_env() {
  export CLAWBACK_TEST_SERVICES=$CTL CLAWBACK_TEST_SERVICES_DIR=$SERVICES/private
  CLAWBACK_TEST_POSTGRES=$(service postgres URL)
  CLAWBACK_TEST_POSTGRES_ADMIN=$(service postgres ADMIN_URL)
  CLAWBACK_TEST_MARIADB_ADMIN=$(service mariadb ADMIN_URL)
  CLAWBACK_TEST_SCIM=$(service scim URL)
  CLAWBACK_TEST_SCIM_WRITER_TOKEN=$(service scim WRITER_TOKEN)
  CLAWBACK_TEST_SCIM_VERIFIER_TOKEN=$(service scim VERIFIER_TOKEN)
  CLAWBACK_TEST_CANAILLE=$(service canaille URL)
  CLAWBACK_TEST_CANAILLE_TOKEN_URL=$(service canaille TOKEN_URL)
  CLAWBACK_TEST_CANAILLE_WRITER_SECRET=$(service canaille WRITER_SECRET)
  CLAWBACK_TEST_CANAILLE_VERIFIER_SECRET=$(service canaille VERIFIER_SECRET)
  export CLAWBACK_TEST_CANAILLE CLAWBACK_TEST_CANAILLE_TOKEN_URL CLAWBACK_TEST_CANAILLE_WRITER_SECRET \
    CLAWBACK_TEST_CANAILLE_VERIFIER_SECRET
  CLAWBACK_TEST_CHROMIUM=$(find_chromium)
  export CLAWBACK_TEST_CHROMIUM CLAWBACK_TEST_AXE=$TOOLS/axe/node_modules/axe-core/axe.min.js \
    CLAWBACK_TEST_SCHEMATHESIS=$TOOLS/schemathesis/bin/schemathesis
  CLAWBACK_TEST_NGINX=$(service nginx PRIVATE_URL)
  CLAWBACK_TEST_NGINX_HTPASSWD=$(service nginx HTPASSWD)
  CLAWBACK_TEST_NGINX_USERS=$(service nginx USERS)
  CLAWBACK_TEST_SLAPD=$(service slapd URL)
  CLAWBACK_TEST_SLAPD_TLS=$(service slapd TLS_URL)
  CLAWBACK_TEST_SLAPD_CA=$(service slapd CA)
  export CLAWBACK_TEST_SLAPD CLAWBACK_TEST_SLAPD_TLS CLAWBACK_TEST_SLAPD_CA
  export CLAWBACK_TEST_POSTGRES CLAWBACK_TEST_POSTGRES_ADMIN CLAWBACK_TEST_MARIADB_ADMIN CLAWBACK_TEST_SCIM CLAWBACK_TEST_SCIM_WRITER_TOKEN \
    CLAWBACK_TEST_SCIM_VERIFIER_TOKEN CLAWBACK_TEST_NGINX CLAWBACK_TEST_NGINX_HTPASSWD CLAWBACK_TEST_NGINX_USERS
}
