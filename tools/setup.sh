#!/bin/sh
# Makes .venv, or brings it up to date; when nothing has changed it returns at once.
#
#   setup.sh lab    the lab and what it needs to run
#   setup.sh test   and what the tests need
#   setup.sh hub    and a JupyterHub
#
# PYTHON is the Python to use; when it's unset or python3, a .venv that works is kept, whatever it was made with.
# .venv/.made says by which Python and for which folder it was made (scripts in it hold that folder's name), and
# .venv/.installed what for and from which pyproject.toml and constraints.txt: each is written after the fact, so
# an interrupted run is taken up again.
set -u
cd "$(dirname "$0")/.." || exit 1
case ${1-} in
lab) what=. ;;
test) what='.[test]' ;;
hub) what='.[test,hub]' ;;
*)
    echo "usage: setup.sh lab|test|hub" >&2
    exit 2
    ;;
esac
python=${PYTHON:-python3}
venv=.venv

# sys._base_executable: in an activated .venv, python3 is the very link that may have to be replaced.
ask() { "$1" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3], sys._base_executable)' 2>/dev/null; }
say() { printf 'shmlab: %s\n' "$*"; }
fail() {
    say "$*; make again goes on from here" >&2
    exit 1
}

present=$(ask $venv/bin/python)
if [ "$python" = python3 ] && [ -n "$present" ]; then
    wanted=$present
    python=${present#* }
else
    wanted=$(ask "$python")
fi
made="${wanted%% *} $(pwd)"
files=$(cat pyproject.toml constraints.txt | cksum)
if [ "$(cat $venv/.made 2>/dev/null)" = "$made" ] && [ -n "$present" ]; then
    case $(cat $venv/.installed 2>/dev/null) in
    "hub $files") exit 0 ;;
    "test $files") [ "$1" != hub ] && exit 0 ;;
    "lab $files") [ "$1" = lab ] && exit 0 ;;
    esac
fi

sh tools/prerequisites.sh setup "$python" || exit 1
base=${wanted#* }

if [ "${present%% *}" != "${wanted%% *}" ] || { [ -e $venv/.made ] && [ "$(cat $venv/.made)" != "$made" ]; }; then
    rm -rf $venv
fi
say "installing into $venv with Python ${wanted%% *}, a minute or two the first time"
rm -f $venv/.installed
if command -v uv >/dev/null 2>&1; then
    [ -x $venv/bin/python ] || uv venv --quiet --python "$base" $venv || fail "uv could not make $venv"
    install='uv pip install --python .venv/bin/python'
else
    "$base" -m venv $venv || fail "$base could not make $venv"
    install='.venv/bin/python -m pip install --disable-pip-version-check'
fi
printf '%s\n' "$made" >$venv/.made
# A hundred packages scroll past nobody's eyes; what went wrong stands at the end.
if ! $install -c constraints.txt -e "$what" >$venv/install.log 2>&1; then
    tail -n 20 $venv/install.log >&2
    fail "installing failed, the lines above say why ($venv/install.log has the rest)"
fi
printf '%s\n' "$1 $files" >$venv/.installed
