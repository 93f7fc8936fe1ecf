#!/bin/sh
# box.sh COMMAND ROOT CONSOLE WORK [BIND...]
#
# Runs as pid 1 of fresh pid, mount, cgroup, ipc and uts namespaces (box.py makes them), builds a root of its own and
# becomes COMMAND in it.  Nothing it mounts is seen outside, and nothing that is written inside reaches the machine's
# files: its root is an overlay whose upper half is a tmpfs.  CONSOLE is the terminal that its pid 1 logs to.  WORK is the one directory that both sides share, under
# the same path.  Each BIND (the interpreter and the checkout, where they are file systems of their own) is read only.
set -eu
become=$1 root=$2 console=$3 work=$4
shift 4

mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir "$root/written" "$root/scratch" "$root/new"
mount -t overlay -o "lowerdir=/,upperdir=$root/written,workdir=$root/scratch" overlay "$root/new"
new=$root/new

mkdir -p "$new/proc" "$new/sys" "$new/dev" "$new/run" "$new$work"
mount -t proc proc "$new/proc"
mount -t sysfs -o ro sysfs "$new/sys"
mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"  # rooted at our own cgroup, by the cgroup namespace
mount -t tmpfs -o mode=755 tmpfs "$new/run"
mount -t tmpfs -o mode=755 tmpfs "$new/dev"
for device in null zero full random urandom tty; do
    : > "$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
done
: > "$new/dev/console"
mount --bind "$console" "$new/dev/console"
mkdir "$new/dev/pts" "$new/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$new/dev/pts"
mount -t tmpfs tmpfs "$new/dev/shm"
ln -s pts/ptmx "$new/dev/ptmx"
ln -s /proc/self/fd "$new/dev/fd"
for standard in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${standard#*:}" "$new/dev/${standard%:*}"; done

mount --bind "$work" "$new$work"
for path in "$@"; do
    mkdir -p "$new$path"
    mount --bind "$path" "$new$path"
    mount -o remount,bind,ro "$new$path"
done

# The machine's own units stay out (one of them would empty /tmp): one target with nothing in it, and what we are told
# to start, for which sysinit.target and basic.target are reached at once.
rm -rf "$new/etc/systemd/system" "$new"/lib/systemd/system/*.wants "$new"/usr/lib/systemd/system/*.wants
mkdir -p "$new/etc/systemd/system" "$new/etc/systemd/system.conf.d"
printf '[Unit]\nDescription=Empty box\nDefaultDependencies=no\n' > "$new/etc/systemd/system/box.target"
printf '[Manager]\nDefaultTimeoutStopSec=15s\nShowStatus=no\nLogColor=no\n' > "$new/etc/systemd/system.conf.d/box.conf"
echo 0123456789abcdef0123456789abcdef > "$new/etc/machine-id"
echo box > "$new/etc/hostname"

cd "$new"
mkdir .old
pivot_root . .old
cd /
umount -l /.old
# shellcheck disable=SC2086
exec env -i container=box PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    ${NOTIFY_SOCKET:+NOTIFY_SOCKET="$NOTIFY_SOCKET"} $become < /dev/null
