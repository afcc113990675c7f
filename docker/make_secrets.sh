#!/bin/sh
# Writes the secrets of a stack into a new folder: passwords, Redis's users, and for each role the
# address of Redis with its user and password. Nothing that is there already is changed.
#
#   docker/make_secrets.sh FOLDER [REDIS_HOST:PORT] [DATABASE]
#
# SEQD says how `seqd` is run here, such as SEQD='docker run --rm -i seqd:cpu', REDIS_VERSION the
# server's version where it is older than 7.2; REDIS_SCHEME=rediss makes addresses for TLS.
set -eu
folder=${1:?"name a folder for the secrets"}
server=${2:-redis:6379}
database=${3:-0}
seqd=${SEQD:-seqd}
version=${REDIS_VERSION:-7.2}
scheme=${REDIS_SCHEME:-redis}

umask 077
mkdir "$folder"

# 48 letters and digits, which need no escaping in an address.
new_password() {
  LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 48
}

{
  # Nobody can be it, for it is off. Redis reads its append-only file as this user, and leaves out
  # each transaction that the user has no right to: without these rights a restart loses jobs.
  echo 'user default off resetpass ~* &* +@all'
  # For the health check: it may do nothing else.
  echo 'user probe on nopass resetkeys resetchannels -@all +ping'
} > "$folder/users.acl"

for role in worker client operator gateway exporter; do
  password=$(new_password)
  # A file that a container reads by a mount: as its user, who is none of this machine's.
  printf '%s://%s:%s@%s/%s\n' "$scheme" "$role" "$password" "$server" "$database" > "$folder/$role-url"
  printf '%s' "$password" |
    $seqd redis acl --role "$role" --server-version "$version" --file --password-file - \
      >> "$folder/users.acl"
done

# For whoever keeps Redis: back-ups, and whatever else it can do.
password=$(new_password)
printf '%s\n' "$password" > "$folder/admin-password"
printf 'user admin on #%s ~* &* +@all\n' \
  "$(printf '%s' "$password" | sha256sum | cut -d ' ' -f 1)" >> "$folder/users.acl"

chmod 0444 "$folder"/*-url "$folder/users.acl"
