#!/usr/bin/env bash
# Plays the two commands on fresh clones of the last commit, where people clone to:
#
#     bash scripts/fresh_clone.sh [--once] PLACE COMMAND...
#
#     closed      in a folder that only its user may enter: for root, one that root's PostgreSQL may not
#     open        in a folder that everybody may enter
#     user        as an ordinary user, made for this, in its own home
#     odd         in a folder with a blank and an umlaut in its name
#     read-only   set up by root, then run by an ordinary user who may write nothing there, with FM_HOME elsewhere
#     two         two clones at the same time
#
# COMMAND is what make is to do: demo, or test, perhaps with variables: test ARGS=fm_migration_tests/embedded. Each place
# is played twice, the second time without cleaning, unless --once is given. Afterwards nothing may run any more, and
# after make distclean nothing may be left. `user` and `read-only` need root, useradd, and a Python outside of root's
# folders: /usr/bin/python3, or PYTHON.
set -euo pipefail

# In braces, so that bash has read all of it before it begins: a play takes half an hour, in which a person may pull.
{
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

say() { printf '== fresh clone, %s: %s\n' "$place" "$*"; }
die() { printf 'fresh_clone: %s\n' "$*" >&2; exit 1; }

times=2
if [ "${1:-}" = --once ]; then
    times=1
    shift
fi
[ $# -ge 2 ] || die "wants a place and what make is to do: fresh_clone.sh closed demo. See the top of $0."
place=$1
shift
case "$place" in
user | read-only) [ "$(id -u)" -eq 0 ] || die "$place needs root, to make another user" ;;
closed | open | odd | two) ;;
*) die "there is no place $place; see the top of $0" ;;
esac

# What an outer make or a person's settings hand on is not what a fresh clone meets.
unset MAKEFLAGS MAKELEVEL MFLAGS ARGS TMPDIR
for name in $(compgen -e); do
    case "$name" in FM_SAMPLE_SIZE) ;; FM_* | DAGSTER_*) unset "$name" ;; esac
done

user=
folder=$(mktemp -d)
clean_up() {
    [ -z "$user" ] || userdel --remove "$user" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap clean_up EXIT

clone_into() {
    if git -C "$project" -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory='*' clone --quiet "file://$project" "$1"
    else
        mkdir -p "$1"
        tar -C "$project" --exclude=./.venv --exclude=./.fm_migration -cf - . | tar -C "$1" -xf -
    fi
}

as_the_user() {
    if [ -n "$user" ]; then
        runuser -u "$user" -- env HOME="$home" PYTHON="${PYTHON:-/usr/bin/python3}" "$@"
    else
        "$@"
    fi
}

play() {
    local clone=$1 number
    shift
    for number in $(seq "$times"); do
        local started=$SECONDS status=0
        (cd "$clone" && as_the_user "$@") || status=$?
        say "$* in $clone, time $number: $((SECONDS - started)) s, exit status $status"
        [ "$status" -eq 0 ] || return 1
    done
}

# The servers end some seconds after their last user.
nothing_runs() {
    local tries running
    for tries in $(seq 60); do
        running=$(pgrep -f -- "$folder" | grep -vx -e "$$" -e "$BASHPID" || true)
        [ -n "$running" ] || return 0
        sleep 0.5
    done
    ps -o pid,user,args -p "$(echo "$running" | paste -sd,)" >&2 || true
    say "these still run"
    return 1
}

# Root's PostgreSQL lies outside of the clone; make distclean takes it along.
nothing_is_left() {
    local owner
    for owner in /var/lib/fm_migration-*/home /tmp/fm_migration-*/home; do
        if [ -e "$owner" ] && grep -q -- "^$folder" "$owner"; then
            say "$(dirname "$owner") is still there"
            return 1
        fi
    done
}

make_user() {
    user=fm-fresh-clone
    home="$folder/home of $user"
    chmod 711 "$folder"
    useradd --create-home --home-dir "$home" --shell /bin/sh "$user"
    chmod 700 "$home"
}

case "$place" in
closed | open)
    chmod "$([ "$place" = closed ] && echo 700 || echo 755)" "$folder"
    before=$(stat -c '%a %U' "$folder")
    clone_into "$folder/clone"
    play "$folder/clone" make "$@"
    [ "$(stat -c '%a %U' "$folder")" = "$before" ] || die "the mode of $folder was changed"
    ;;
user)
    make_user
    clone_into "$home/clone"
    chown -R "$user:" "$home/clone"
    play "$home/clone" make "$@"
    ;;
odd)
    clone_into "$folder/Klinik Größe"
    play "$folder/Klinik Größe" make "$@"
    ;;
read-only)
    chmod 711 "$folder"
    clone_into "$folder/clone"
    (umask 022 && cd "$folder/clone" && PYTHON="${PYTHON:-/usr/bin/python3}" make setup)
    make_user
    play "$folder/clone" env FM_HOME="$home/clinic" make "$@"
    left=$(find "$folder/clone" -user "$user")
    [ -z "$left" ] || die "this was written into the read-only checkout: $left"
    ;;
two)
    clone_into "$folder/one"
    clone_into "$folder/two"
    play "$folder/one" make "$@" >"$folder/one.log" 2>&1 &
    first=$!
    status=0
    play "$folder/two" make "$@" || status=1
    wait "$first" || status=1
    cat "$folder/one.log"
    [ "$status" -eq 0 ] || exit 1
    ;;
esac

nothing_runs
for clone in "$folder"/*/Makefile "$folder"/*/clone/Makefile; do
    [ ! -e "$clone" ] || make --silent -C "$(dirname "$clone")" distclean >/dev/null
done
nothing_is_left
say "passed in $SECONDS s"
exit
}
