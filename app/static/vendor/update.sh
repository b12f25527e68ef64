#!/bin/sh
# Refresh the vendored front-end files. Maintainers only: users of the platform need no Node.
#
#   1. change a version in package.json
#   2. sh app/static/vendor/update.sh
#   3. change the paths in templates/base.html, templates/documentation/ and tests/web/, run the tests, commit
#
# "packed" in package.json are bundles that hold their dependencies already: they are fetched alone, without a lock.
# The downloaded packages stay in a temporary folder; the lock file names no registry.
set -eu

vendor=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
axe=$(CDPATH='' cd -- "$vendor/../../../tests/web" && pwd)/axe
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

version() {
    node -p "require('$work/node_modules/$1/package.json').version"
}

# fetch PACKAGE: unpacks a bundle where the installed packages lie.
fetch() {
    packed=$(node -p "require('$vendor/package.json').packed['$1']")
    (cd "$work" && npm pack --silent "$1@$packed" >/dev/null)
    mkdir -p "$work/node_modules/$1"
    tar -xzf "$work/$1-$packed.tgz" -C "$work/node_modules/$1" --strip-components=1
}

# copy PACKAGE FOLDER FILE...: the files lie flat in FOLDER.
copy() {
    package=$1
    folder=$2
    shift 2
    mkdir -p "$folder"
    for file in "$@"; do
        cp "$work/node_modules/$package/$file" "$folder/"
        chmod 644 "$folder/$(basename "$file")"
    done
}

# seal FOLDER: writes the sums of every copied file below it.
seal() {
    (cd "$1" && find . -mindepth 1 -type f ! -name SHA256SUMS ! -name 'package*.json' ! -name update.sh |
        LC_ALL=C sort | sed 's|^\./||' | xargs sha256sum >SHA256SUMS)
}

cp "$vendor/package.json" "$work/"
[ -f "$vendor/package-lock.json" ] && cp "$vendor/package-lock.json" "$work/"
(cd "$work" && npm install --ignore-scripts --no-audit --no-fund --omit-lockfile-registry-resolved=true)
# Old npm versions ignore the option above, so the addresses are removed here as well.
sed '/^ *"resolved": /d' "$work/package-lock.json" >"$vendor/package-lock.json"

fetch redoc
fetch swagger-ui-dist

rm -rf "$vendor"/*-[0-9]* "$axe"
copy bootstrap "$vendor/bootstrap-$(version bootstrap)" LICENSE dist/css/bootstrap.min.css dist/js/bootstrap.bundle.min.js
copy htmx.org "$vendor/htmx-$(version htmx.org)" LICENSE dist/htmx.min.js
copy redoc "$vendor/redoc-$(version redoc)" LICENSE bundles/redoc.standalone.js bundles/redoc.standalone.js.LICENSE.txt
# ReDoc asks another server for its small logo, which the content policy forbids: an empty picture takes its place.
sed 's|https://cdn.redoc.ly/redoc/logo-mini.svg|data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=|g' \
    "$work/node_modules/redoc/bundles/redoc.standalone.js" >"$vendor/redoc-$(version redoc)/redoc.standalone.js"
copy swagger-ui-dist "$vendor/swagger-ui-$(version swagger-ui-dist)" LICENSE NOTICE swagger-ui.css \
    swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt
copy axe-core "$axe" LICENSE LICENSE-3RD-PARTY.txt axe.min.js
seal "$vendor"
seal "$axe"
