#!/bin/sh
# Removes .venv and the sample clinic, and what root's PostgreSQL keeps outside of the clone: `make distclean`.
set -eu

cd "$(dirname "$0")/.."
link=.fm_migration/postgres
pid=$(head -n 1 "$link/postmaster.pid" 2>/dev/null || true)
if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    echo "The sample clinic's PostgreSQL is running (process $pid). End what uses it (make dev, the tests), then try again." >&2
    exit 1
fi

# Root's data lie in a place of their own (fm_migration/embedded/server_place.py), to which this link leads. The place
# names the folder that it belongs to: in a copied clone the link leads to the place of the one that it was copied from.
data=$(readlink "$link" 2>/dev/null || true)
place=${data%/data}
case "$data" in
*/fm_migration-*/data)
    owner=$(cat "$place/home" 2>/dev/null || true)
    if [ "$owner" = "$(pwd -P)/.fm_migration" ] || [ "$(readlink "$owner/postgres" 2>/dev/null || true)" != "$data" ]; then
        rm -rf "$place"
    fi
    ;;
esac
rm -rf .venv .fm_migration
