#!/bin/sh
# Installs nskd on a machine with systemd, brings it up to date, or takes it away again.  See docs/operations.md.
#
#   sh systemd/install.sh                      from a clone of the repository
#   sh systemd/install.sh --wheel FILE         a wheel (`make wheel`) in place of the clone's own code
#   sh systemd/install.sh --peers "IP IP …"    and let the kernel refuse all other addresses
#   sh systemd/install.sh --seal DIRECTORY     seal the key files in DIRECTORY to this machine
#   sh systemd/install.sh --uninstall          program and units go; configuration, keys and state stay
#
#   --root DIRECTORY    everything below DIRECTORY, for a package or a test; nothing is started or reloaded
#   --databases         also what an extract in a database server takes (requirements/databases.lock)
#
# Run twice it changes nothing the second time.  Each version has a directory of its own; the new one is complete before
# /opt/nskd/current points to it, and the former one stays for the way back.
# NSKD_ENVIRONMENT names a virtual environment that has nskd already, to be used in place of making one.
set -eu
umask 022

root="" wheel="" peers="" seal="" uninstall="" lock=run
while [ $# -gt 0 ]; do
  case "$1" in
    --root) root="${2%/}"; shift ;;
    --wheel) wheel="$2"; shift ;;
    --peers) peers="$2"; shift ;;
    --seal) seal="$2"; shift ;;
    --databases) lock=databases ;;
    --uninstall) uninstall=yes ;;
    *) echo "install.sh: $1 is not an option of it; its first lines say which there are" >&2; exit 64 ;;
  esac
  shift
done

clone="$(cd "$(dirname "$0")/.." && pwd)"
opt="$root/opt/nskd"
units="$root/etc/systemd/system"
live() { [ -z "$root" ]; }
say() { echo "install.sh: $*"; }

if [ "$(id -u)" -ne 0 ]; then
  echo "install.sh: this is for root: it makes a user, and directories that belong to it" >&2
  exit 77
fi

if [ -n "$uninstall" ]; then
  if live && [ -e "$units/nskd.service" ]; then systemctl disable --now nskd; fi
  rm -f "$units/nskd.service" "$units/nskd-rekey.service" "$units/nskd.service.d/peers.conf"
  rm -f "$root/usr/lib/sysusers.d/nskd.conf" "$root/usr/lib/tmpfiles.d/nskd.conf"
  rm -f "$root/usr/bin/nskd" "$root/usr/bin/nskctl"
  rmdir "$units/nskd.service.d" 2>/dev/null || true
  rm -rf "$opt"
  if live; then systemctl daemon-reload; fi
  say "removed; configuration (/etc/nskd), keys (/etc/credstore.encrypted), state (/var/lib/nskd) and the user stay"
  exit 0
fi

if [ -n "$seal" ]; then
  install -d -m 700 "$root/etc/credstore.encrypted"
  for key in noise signing storage; do
    [ -e "$seal/$key.key" ] || { echo "install.sh: $seal/$key.key is not there; make keys with nskctl keygen" >&2; exit 66; }
  done
  for key in noise signing storage; do
    sealed="$root/etc/credstore.encrypted/nskd.$key.key"
    systemd-creds encrypt --name="$key.key" "$seal/$key.key" "$sealed.half"
    chmod 600 "$sealed.half"
    mv "$sealed.half" "$sealed"
  done
  say "sealed; keep a copy of $seal where this machine cannot lose it, then remove it here: shred -u $seal/*.key"
  exit 0
fi

# The program: complete, then pointed to at one stroke.
version="$(sed -n 's/^version = "\(.*\)"/\1/p' "$clone/pyproject.toml")"
if [ -n "$wheel" ]; then version="$(basename "$wheel" | cut -d- -f2)"; fi
install -d "$opt"
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
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nskd needs Python 3.11 or newer")'
    python3 -m venv "$home"
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
    touch "$home/complete"
  fi
fi
ln -sfn "${home#"$root"}" "$opt/next"
mv -T "$opt/next" "$opt/current"

install -d "$root/usr/bin"
for program in nskd nskctl; do ln -sfn "/opt/nskd/current/bin/$program" "$root/usr/bin/$program"; done

# The user, the directories, the units.
install -D -m 644 "$clone/systemd/nskd.sysusers.conf" "$root/usr/lib/sysusers.d/nskd.conf"
install -D -m 644 "$clone/systemd/nskd.tmpfiles.conf" "$root/usr/lib/tmpfiles.d/nskd.conf"
install -D -m 644 "$clone/systemd/nskd.service" "$units/nskd.service"
install -D -m 644 "$clone/systemd/nskd-rekey.service" "$units/nskd-rekey.service"
install -d "$root/etc"
systemd-sysusers ${root:+--root="$root"} "$root/usr/lib/sysusers.d/nskd.conf"
systemd-tmpfiles --create ${root:+--root="$root"} "$root/usr/lib/tmpfiles.d/nskd.conf"
if [ ! -e "$root/etc/nskd/nskd.toml" ]; then
  install -m 644 "$clone/configs/nskd.toml" "$root/etc/nskd/nskd.toml.sample"
fi

if [ -n "$peers" ]; then
  install -d "$units/nskd.service.d"
  {
    echo "# Written by install.sh --peers: the kernel lets this service talk to these addresses and no other."
    echo "[Service]"
    echo "IPAddressDeny=any"
    echo "IPAddressAllow=localhost"
    for peer in $peers; do echo "IPAddressAllow=$peer"; done
  } >"$units/nskd.service.d/peers.conf.new"
  chmod 644 "$units/nskd.service.d/peers.conf.new"
  mv "$units/nskd.service.d/peers.conf.new" "$units/nskd.service.d/peers.conf"
fi

if live; then systemctl daemon-reload; fi
say "nskd $version is installed; a daemon that runs takes it up when it is restarted: systemctl restart nskd"
