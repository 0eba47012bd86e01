"""Network namespaces joined by a bridge, inside one of our own that takes them all with it."""

import os
import shutil
import subprocess
import sys

from tests.support import requirement

_INSIDE = "TROUPE_TEST_INSIDE_NAMESPACE"
PREFIX = "10.83.0."


def _skip(why):
    """Also where CI is set: whether namespaces are permitted is not the tests' to decide."""
    print(f"skipped: network namespaces are not permitted here: {why}")
    sys.exit(requirement.SKIPPED)


def enter():
    """Runs this program again in fresh network and mount namespaces; skips where that is refused.
    Whatever is made in them goes with their last process, however the test ends."""
    if os.environ.get(_INSIDE):
        return
    if not all(map(shutil.which, ("ip", "unshare", "mount"))):
        requirement.lacking("ip and unshare (iproute2, util-linux)")
    words = ["unshare", "--net", "--mount"]
    words += [] if os.geteuid() == 0 else ["--map-root-user"]
    probe = "ip link add bridge9 type bridge && mount -t tmpfs none /run && mkdir /run/netns && "
    probe += "ip netns add n && ip link add v9 type veth peer name v8 && ip netns exec n true"
    tried = subprocess.run([*words, "sh", "-c", probe], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        _skip(tried.stderr.strip())
    os.environ[_INSIDE] = "1"
    os.execvp(words[0], [*words, sys.executable, *sys.argv])


def _run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr}")


class Network:
    """A bridge with the address PREFIX + "1", and namespaces that reach each other over it."""

    def __init__(self, names):
        _run("mount", "-t", "tmpfs", "none", "/run")
        os.mkdir("/run/netns")
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "bridge0", "type", "bridge")
        _run("ip", "address", "add", PREFIX + "1/24", "dev", "bridge0")
        _run("ip", "link", "set", "bridge0", "up")
        self.addresses = {}
        for number, name in enumerate(names, start=2):
            self._add(name, f"{PREFIX}{number}", f"veth{number}")

    def _add(self, name, address, outside):
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", outside, "master", "bridge0", "up")
        _run("ip", "-n", name, "address", "add", address + "/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-n", name, "link", "set", device, "up")
        self.addresses[name] = address

    @staticmethod
    def within(name):
        """Words that run a program in that namespace."""
        return ("ip", "netns", "exec", name)
