#!/bin/sh
# Installs nskd on a machine with systemd, brings it up to date, or takes it away again.  See docs/operations.md.
#
#   sh systemd/install.sh                      from a clone of the repository
#   sh systemd/install.sh --wheel FILE         a wheel (`make wheel`) in place of the clone's own code
#   sh systemd/install.sh --peers "IP IP …"    and let the kernel refuse all other addresses: name every centre, and, where
#                                              they are not on this machine, the name server and the database server.  The
#                                              whole list each time; without --peers the list stays as it is
#   sh systemd/install.sh --seal DIRECTORY     seal the key files in DIRECTORY to this machine
#   sh systemd/install.sh --database-password FILE    seal the one line in FILE, and have the service get it
#   sh systemd/install.sh --uninstall          program and units go; configuration, keys and state stay
#
#   --root DIRECTORY    everything below DIRECTORY, for a package or a test; nothing is started or reloaded
#   --databases         also what an extract in a database server takes (requirements/databases.lock); later versions are
#                       installed with it as well, without being told
#
# Run twice it changes nothing the second time.  Each version has a directory of its own; the new one is complete before
# /opt/nskd/current points to it, and the former one stays for the way back.
# PYTHON names the interpreter; without it the first python3 of 3.11 or newer on the path is taken.
# NSKD_ENVIRONMENT names a virtual environment that has nskd already, to be used in place of making one.
set -eu
umask 022

root="" wheel="" peers="" seal="" password="" uninstall="" lock=""
while [ $# -gt 0 ]; do
  case "$1" in
    --root) root="${2%/}"; shift ;;
    --wheel) wheel="$2"; shift ;;
    --peers) peers="$2"; shift ;;
    --seal) seal="$2"; shift ;;
    --database-password) password="$2"; shift ;;
    --databases) lock=databases ;;
    --uninstall) uninstall=yes ;;
    *) echo "install.sh: $1 is not an option of it; its first lines say which there are" >&2; exit 64 ;;
  esac
  shift
done

clone="$(cd "$(dirname "$0")/.." && pwd)"
opt="$root/opt/nskd"
units="$root/etc/systemd/system"
shipped="nskd.service nskd-rekey.service nskd-backup.service nskd-backup.timer"
live() { [ -z "$root" ]; }
say() { echo "install.sh: $*"; }

seal_to_machine() {  # NAME FILE: at one stroke, so that what was there works until the new one does
  sealed="$root/etc/credstore.encrypted/nskd.$1"
  install -d -m 700 "$root/etc/credstore.encrypted"
  systemd-creds encrypt --name="$1" "$2" "$sealed.half"
  chmod 600 "$sealed.half"
  mv "$sealed.half" "$sealed"
}

drop_in() {  # NAME: a part of nskd.service of this machine's own, from standard input
  install -d "$units/nskd.service.d"
  cat >"$units/nskd.service.d/$1.conf.new"
  chmod 644 "$units/nskd.service.d/$1.conf.new"
  mv "$units/nskd.service.d/$1.conf.new" "$units/nskd.service.d/$1.conf"
}

find_python() {
  for found in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$found"; return; fi
  done
  echo "install.sh: nskd needs Python 3.11 or newer, and ${PYTHON:-no python3 on the path} is none; PYTHON=… names one" >&2
  exit 69
}

if [ "$(id -u)" -ne 0 ]; then
  echo "install.sh: this is for root: it makes a user, and directories that belong to it" >&2
  exit 77
fi

if [ -n "$uninstall" ]; then
  if live && [ -e "$units/nskd-backup.timer" ]; then systemctl disable --now nskd-backup.timer; fi
  if live && [ -e "$units/nskd.service" ]; then systemctl disable --now nskd; fi
  for unit in $shipped; do rm -f "$units/$unit"; done
  rm -f "$units/nskd.service.d/peers.conf" "$units/nskd.service.d/database.conf"
  rm -f "$root/usr/lib/sysusers.d/nskd.conf" "$root/usr/lib/tmpfiles.d/nskd.conf"
  rm -f "$root/usr/bin/nskd" "$root/usr/bin/nskctl"
  rmdir "$units/nskd.service.d" 2>/dev/null || true
  rm -rf "$opt"
  if live; then systemctl daemon-reload; fi
  say "removed; configuration (/etc/nskd), keys (/etc/credstore.encrypted), state (/var/lib/nskd) and the user stay"
  exit 0
fi

if [ -n "$seal" ]; then
  for key in noise signing storage; do
    [ -e "$seal/$key.key" ] || { echo "install.sh: $seal/$key.key is not there; make keys with nskctl keygen" >&2; exit 66; }
  done
  for key in noise signing storage; do seal_to_machine "$key.key" "$seal/$key.key"; done
  say "sealed; keep a copy of $seal where this machine cannot lose it, then remove it here: shred -u $seal/*.key"
  exit 0
fi

if [ -n "$password" ]; then
  [ -s "$password" ] || { echo "install.sh: $password is not there, or empty; write the password into it" >&2; exit 66; }
  seal_to_machine database.password "$password"
  drop_in database <<'END'
# Written by install.sh --database-password: what the database of [data] url asks for.
[Service]
LoadCredentialEncrypted=database.password:/etc/credstore.encrypted/nskd.database.password
END
  if live; then systemctl daemon-reload; fi
  say "sealed; the service has it from its next start; remove it here: shred -u $password"
  exit 0
fi

# The program: complete, then pointed to at one stroke.
version="$(sed -n 's/^version = "\(.*\)"/\1/p' "$clone/pyproject.toml")"
if [ -n "$wheel" ]; then version="$(basename "$wheel" | cut -d- -f2)"; fi
install -d "$opt"
if [ -z "$lock" ]; then  # as the version in use was installed
  lock=run
  if grep -qsx databases "$root$(readlink "$opt/current" || true)/complete"; then lock=databases; fi
fi
if [ -n "${NSKD_ENVIRONMENT:-}" ]; then
  home="$NSKD_ENVIRONMENT"
else
  # What is installed is named by its contents, so that the same again is found to be there.
  digest="$({ cat "$clone/requirements/$lock.lock"; if [ -n "$wheel" ]; then cat "$wheel"; else
    find "$clone/nskd" "$clone/protocol" "$clone/pyproject.toml" -type f ! -name '*.nb?' ! -name '*.pyc' -print0 |
      LC_ALL=C sort -z | xargs -0 cat; fi; } | sha256sum | cut -c1-12)"
  home="$opt/$version-$digest"
  if [ ! -e "$home/complete" ]; then
    rm -rf "$home"
    python="$(find_python)"
    "$python" -m venv "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$clone/requirements/$lock.lock"
    if [ -n "$wheel" ]; then
      "$home/bin/pip" install --quiet --disable-pip-version-check --no-deps "$wheel"
    else
      "$home/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation "$clone"
    fi
    "$home/bin/nskd" --version >/dev/null
    if ! live; then  # what names its own place is to name where it will be
      grep -lI "$root/" "$home"/bin/* "$home/pyvenv.cfg" | while read -r file; do sed -i "s#$root/#/#g" "$file"; done
    fi
    echo "$lock" >"$home/complete"
  fi
fi
ln -sfn "${home#"$root"}" "$opt/next"
mv -T "$opt/next" "$opt/current"

install -d "$root/usr/bin"
for program in nskd nskctl; do ln -sfn "/opt/nskd/current/bin/$program" "$root/usr/bin/$program"; done

# The user, the directories, the units.
install -D -m 644 "$clone/systemd/nskd.sysusers.conf" "$root/usr/lib/sysusers.d/nskd.conf"
install -D -m 644 "$clone/systemd/nskd.tmpfiles.conf" "$root/usr/lib/tmpfiles.d/nskd.conf"
for unit in $shipped; do install -D -m 644 "$clone/systemd/$unit" "$units/$unit"; done
install -d "$root/etc"
systemd-sysusers ${root:+--root="$root"} "$root/usr/lib/sysusers.d/nskd.conf"
systemd-tmpfiles --create ${root:+--root="$root"} "$root/usr/lib/tmpfiles.d/nskd.conf"
if [ ! -e "$root/etc/nskd/nskd.toml" ]; then
  install -m 644 "$clone/configs/nskd.toml" "$root/etc/nskd/nskd.toml.sample"
fi

if [ -n "$peers" ]; then
  {
    echo "# Written by install.sh --peers: the kernel lets this service talk to these addresses and no other."
    echo "[Service]"
    echo "IPAddressDeny=any"
    echo "IPAddressAllow=localhost"
    for peer in $peers; do echo "IPAddressAllow=$peer"; done
  } | drop_in peers
fi

if live; then systemctl daemon-reload; fi
say "nskd $version is installed in ${home#"$root"}; a daemon that runs takes it up when it is restarted: systemctl restart nskd"
