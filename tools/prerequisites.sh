#!/bin/sh
# What the lab needs from the machine: one line for each thing that is missing, with the package that brings it.
#
#   prerequisites.sh setup PYTHON   Python 3.11, a way to make a virtual environment, /dev/shm: exits 1 at the first that is missing
#   prerequisites.sh notes lab      what a lesson would miss: a compiler, room in /dev/shm; never fails
#   prerequisites.sh notes test     the same, and Chromium
#
# Only shell built-ins and df: this runs before anything is installed. SHM is the folder that holds the objects.
set -u
shm=${SHM:-/dev/shm}

note() { printf 'note: %s\n' "$*"; }
stop() {
    printf 'shmlab: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

setup() {
    python=$1
    have "$python" || stop "no $python: apt-get install ${python##*/} ${python##*/}-venv"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
        stop "$python does not run: apt-get install ${python##*/} ${python##*/}-venv"
    if [ "${version%%.*}" -lt 3 ] || { [ "${version%%.*}" -eq 3 ] && [ "${version#*.}" -lt 11 ]; }; then
        stop "$python is Python $version, the lab needs 3.11 or newer:" \
            "apt-get install python3.11 python3.11-venv, then make PYTHON=python3.11 lab"
    fi
    # uv brings its own way to make a virtual environment.
    if ! have uv && ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        case $python in
        python3 | */python3) package=python3-venv ;;
        *) package=python$version-venv ;;
        esac
        stop "$python has no venv module: apt-get install $package"
    fi
    # No package brings /dev/shm: it is a file system that somebody has to mount.
    [ -d "$shm" ] || stop "no $shm, where shared memory objects live: mount -t tmpfs tmpfs $shm"
    [ -w "$shm" ] || stop "$shm is not writable, shared memory objects live there: chmod 1777 $shm"
}

notes() {
    if ! have cc; then
        note "no C compiler, so C programs are greyed out: apt-get install gcc libc6-dev"
    elif ! printf '#include <semaphore.h>\n' | cc -E - >/dev/null 2>&1; then
        note "no C headers, so C programs are greyed out: apt-get install libc6-dev"
    fi
    size=$(df -Pk "$shm" 2>/dev/null | { read -r _ && read -r _ kib _ && echo "$kib"; })
    if [ "${size:-0}" -lt 65536 ]; then
        note "$shm holds $((${size:-0} / 1024)) MiB, lessons want 64: mount -o remount,size=64M $shm" \
            "(a container: --shm-size=64m)"
    fi
    if [ "$1" = test ] && ! have chromium && ! have chromium-browser && ! have google-chrome; then
        note "no Chromium, so the browser tests are skipped (under CI=true they fail): apt-get install chromium"
    fi
}

case ${1-} in
setup) setup "${2:-python3}" ;;
notes) notes "${2:-lab}" ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
