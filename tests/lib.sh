# shellcheck shell=bash
# Sourced by tests/run, autobahn/run and tests/interop/install: where things are, what a fresh machine lacks, and
# processes that never outlive their script.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # for those who source this
target=${CARGO_TARGET_DIR:-$root/target}
# Tools are built once for all clones, each in a folder of its own version: nothing of the user's is replaced.
tools=${FRAMECAST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/framecast-tools}

# The versions this project is checked with. A newer one is a commit that changes this table.
declare -Ar tool_versions=([cargo-hack]=0.6.46 [cargo-deny]=0.20.2 [cargo-fuzz]=0.13.2 [websocat]=1.14.1)

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The version that `NAME --version` tells, empty if there is no such program. Some of cargo's only speak through cargo.
tool_version() {
  local command=("$1")
  [[ $1 != cargo-* ]] || command=(cargo "${1#cargo-}")
  "${command[@]}" --version 2>/dev/null </dev/null | sed -n '1s/^[^0-9]*\([0-9][0-9.]*\).*/\1/p' || true
}

# Puts NAME, at its pinned version, on the PATH; builds it if it is not there.
need_tool() {
  local name=$1 version=${tool_versions[$1]}
  local home=$tools/$name-$version
  [ "$(tool_version "$name")" = "$version" ] && return
  if ! [ -x "$home/bin/$name" ]; then
    say "installing $name $version into $home (one to three minutes, once)"
    # Built for a quick build, not a quick tool: what it checks takes seconds. Its target folder is its own, so that a
    # CARGO_TARGET_DIR of ours is not filled with another project's crates.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_TARGET_DIR="$home/build" \
      cargo install --locked --quiet --root "$home" --version "$version" "$name" || return
    rm -rf "$home/build"
  fi
  PATH=$home/bin:$PATH
}

# Installs a Debian package if the program that it brings is missing.
need_package() {
  local program=$1 package=$2
  command -v "$program" >/dev/null && return
  command -v apt-get >/dev/null || { say "$program is missing; install it"; return 1; }
  say "installing Debian's $package, for $program"
  as_root apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq "$package" >/dev/null
}

# Puts the files of a Debian package, without those of what it depends on, into FOLDER.
unpack_package() { # unpack_package PACKAGE FOLDER
  command -v apt-get >/dev/null || { say "$1 is missing; install it"; return 1; }
  say "unpacking Debian's $1"
  mkdir -p "$2" && as_root apt-get update -qq >&2 &&
    (cd "$2" && apt-get download -qq "$1" >&2 && dpkg -x "$1"_*.deb . && rm "$1"_*.deb)
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Every process started by `background` is ended when the script ends, however it ends.
background_pids=()
background() { # background OUT ERR COMMAND...: leaves its process id in $background_pid
  local out=$1 err=$2
  shift 2
  # Who waits for a line in them finds them, even before the process has started.
  : >"$out"
  : >"$err"
  "$@" >"$out" 2>"$err" </dev/null &
  background_pid=$!
  background_pids+=("$background_pid")
}
end_background() { # ends them all; those that do not heed a TERM within five seconds are killed
  local pid deadline=$((SECONDS + 5))
  [ ${#background_pids[@]} -gt 0 ] || return 0
  kill "${background_pids[@]}" 2>/dev/null || true
  for pid in "${background_pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  background_pids=()
}

# Waits until COMMAND... succeeds; gives up when process PID ends or SECONDS have gone by.
wait_until() { # wait_until PID SECONDS COMMAND...
  local pid=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@"; do
    kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ] || return 1
    sleep 0.05
  done
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
