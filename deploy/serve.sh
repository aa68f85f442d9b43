#!/bin/sh
# What the image runs: Triton, with its protocols closed to whoever does not have the operator's key. The key is what the
# file RESNAS_KEY_FILE holds; without that file nobody knows it. A request carries it in the header resnas-key, over
# gRPC triton-grpc-protocol-resnas-key; resnas triton load and check take --key-file.
set -eu
umask 077
file=${RESNAS_KEY_FILE:-/run/secrets/resnas/key}
if [ -e "$file" ]; then key=$(cat "$file"); else key=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n'); fi
case $key in
  "" | *[!A-Za-z0-9_-]*)
    echo "the key in $file must be letters, digits, dashes and underscores; make one: openssl rand -hex 32" >&2
    exit 2
    ;;
esac
if [ ${#key} -lt 16 ]; then echo "the key in $file must be of 16 letters at least, found ${#key}" >&2; exit 2; fi
closed=shared-memory,logging,trace,model-repository,model-config,statistics:resnas-key=$key
exec tritonserver "$@" --http-restricted-api="$closed" --grpc-restricted-protocol="$closed"
