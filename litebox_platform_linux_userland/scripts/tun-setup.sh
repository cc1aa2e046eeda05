#!/usr/bin/env bash
# Makes the TUN device that `litebox run --net tun=NAME` uses, or takes it away. What is there already stays as it is.
#   tun-setup.sh [NAME] [ADDRESS/PREFIX] [--user USER] [--mtu MTU]     make it (tun99, 10.0.0.1/24)
#   tun-setup.sh --down [NAME]                                         take it away
# ADDRESS is the host's; the sandbox has the next one (10.0.0.2). The device leads to this host alone: whoever wants more lets the host
# forward its packets, with --mtu 1500.
set -euo pipefail

name=tun99 address=10.0.0.1/24 owner=${SUDO_USER:-$(id -un)} mtu=65535 down=
usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
say() { echo "tun-setup: $*"; }
fail() {
    echo "tun-setup: $*" >&2
    exit 1
}

place=0
while [ $# -gt 0 ]; do
    case $1 in
    --down) down=1 ;;
    --user | --mtu)
        [ $# -ge 2 ] || fail "$1 wants a value"
        if [ "$1" = --user ]; then owner=$2; else mtu=$2; fi
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*) fail "unknown option $1 (see --help)" ;;
    *)
        case $place in
        0) name=$1 ;;
        1) address=$1 ;;
        *) fail "too many arguments: $1 (see --help)" ;;
        esac
        place=$((place + 1))
        ;;
    esac
    shift
done

command -v ip >/dev/null || fail "there is no ip here (install iproute2)"
[ "$(id -u)" -eq 0 ] || fail "only root makes network devices (sudo $0)"
[[ $name =~ ^[A-Za-z0-9_.-]{1,15}$ ]] || fail "$name: not a name of a network device"
[[ $mtu =~ ^[0-9]+$ ]] && [ "$mtu" -ge 1280 ] && [ "$mtu" -le 65535 ] || fail "--mtu $mtu: not between 1280 and 65535"

is_there() { ip link show dev "$name" >/dev/null 2>&1; }

if [ -n "$down" ]; then
    is_there || { say "$name is not there: nothing to do"; exit 0; }
    ip tuntap del dev "$name" mode tun
    say "took $name away"
    exit 0
fi

if [ ! -c /dev/net/tun ]; then
    modprobe tun 2>/dev/null || true
    [ -c /dev/net/tun ] || { mkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200; }
    say "made /dev/net/tun"
fi
if is_there; then
    ip -d link show dev "$name" | grep -q 'tun type tun' || fail "$name is there, and is no TUN device"
    say "$name is there already"
else
    ip tuntap add dev "$name" mode tun user "$owner" vnet_hdr
    say "made $name for $owner"
fi
if ip -o address show dev "$name" | grep -qwF "$address"; then
    say "$name has $address already"
else
    ip address add "$address" dev "$name"
    say "gave $name the address $address"
fi
ip link set dev "$name" mtu "$mtu" up
say "$name is up, with packets of up to $mtu bytes: litebox run --net tun=$name"
