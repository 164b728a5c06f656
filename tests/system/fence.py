# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a packet can leave the running appliance for an address outside its clients' networks. Run as root beside it.

fence.py dial                         new sockets, from wherever this runs: 0 when there is none at all
fence.py dial_ip                      the same, Internet sockets alone: 0 when none gets anywhere
fence.py escape closed|open PID       the sockets that process PID was handed: `sendto` on those of UDP, and shutdown
                                      and connect on the TCP listeners, which are of no use afterwards. 0 when packets to
                                      addresses outside leave as it says, and those to clients leave in any case
fence.py sendto PID ADDRESS           a packet from its UDP socket: 0 when it leaves

What leaves is seen at the far end of a wire (interface `wire`), not believed."""

import contextlib
import ctypes
import errno
import os
import socket
import sys
import time

# Nobody's addresses: documentation, RFC 5737 and RFC 3849.
OUTSIDE = ["198.51.100.7", "2001:db8::7"]
# In the networks of clients, and nobody there either.
CLIENTS = ["10.23.0.254", "fd23::fe"]
PORT = 9
PIDFD_GETFD = 438


def name(error: OSError) -> str:
    return errno.errorcode.get(error.errno, str(error))


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def inherited(pid: int) -> list[socket.socket]:
    """The Internet sockets of a process: the very same ones, not copies."""
    pidfd = os.pidfd_open(pid)
    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
                continue
            taken = libc.syscall(PIDFD_GETFD, pidfd, int(fd), 0)
            if taken < 0:
                raise OSError(ctypes.get_errno(), "pidfd_getfd")
            taken = socket.socket(fileno=taken)
            if taken.family in (socket.AF_INET, socket.AF_INET6):
                found.append(taken)
    return found


def leaves(act, address: str) -> bool:
    """Whether what `act` does puts a packet for the address on the wire."""
    wanted = socket.inet_pton(family_of(address), address)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
        wire.bind(("wire", 0))
        try:
            act()
            result = "done"
        except OSError as error:
            result = name(error)
        seen, end = False, time.monotonic() + 0.5
        while not seen and (left := end - time.monotonic()) > 0:
            wire.settimeout(left)
            with contextlib.suppress(TimeoutError):
                frame = wire.recv(2048)
                seen = wanted in (frame[30:34], frame[38:54])
    print(f"{result}, {'a packet' if seen else 'nothing'} on the wire", flush=True)
    return seen


def sendto(udp: socket.socket, address: str) -> bool:
    print(f"sendto on the UDP socket, to {address}: ", end="")
    return leaves(lambda: udp.sendto(b"out", (address, PORT)), address)


def reconnect(listener: socket.socket, address: str) -> bool:
    """A listener that is shut down is a socket like any other, and may be connected. Once it was, it has to forget that."""
    def act():
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        libc = ctypes.CDLL(None)
        libc.connect(listener.fileno(), b"\0" * 16, 16)
        listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            listener.connect((address, PORT))

    print(f"shutdown and connect on the listener, to {address}: ", end="")
    return leaves(act, address)


def escape(expected: str, pid: int) -> bool:
    sockets = inherited(pid)
    as_expected = True
    for family in (socket.AF_INET, socket.AF_INET6):
        udp = [s for s in sockets if s.family == family and s.type == socket.SOCK_DGRAM]
        tcp = [s for s in sockets if s.family == family and s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]
        if not udp or not tcp:
            sys.exit(f"process {pid} has no {family.name} sockets")
        for address, shall in [(a, True) for a in CLIENTS] + [(a, expected == "open") for a in OUTSIDE]:
            if family_of(address) == family:
                as_expected &= sendto(udp[0], address) == shall
                as_expected &= reconnect(tcp[0], address) == shall
    return as_expected


def dial(others: bool) -> bool:
    """Every way to a new socket, and as far as it goes."""
    refused = True
    ways = [(family_of(a), kind, a) for a in OUTSIDE + CLIENTS for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
    if others:
        ways += [(socket.AF_NETLINK, socket.SOCK_RAW, None), (socket.AF_PACKET, socket.SOCK_RAW, None)]
    for family, kind, address in ways:
        try:
            with socket.socket(family, kind) as made:
                made.settimeout(0.2)
                result = "a socket"
                if address:
                    made.connect((address, PORT))
                    result = "connected"
                refused = False
        except TimeoutError:
            result, refused = "on its way", False
        except OSError as error:
            result = name(error)
        print(f"{family.name} {kind.name} {address or ''}: {result}")
    with open("/proc/self/status") as status:
        print("".join(line for line in status if line.startswith(("NoNewPrivs", "Seccomp", "Cap"))), end="")
    print(f"net {os.readlink('/proc/self/ns/net')}")
    return refused


match sys.argv[1:]:
    case [("dial" | "dial_ip") as how]:
        succeeded = dial(others=how == "dial")
    case ["escape", ("closed" | "open") as expected, pid]:
        succeeded = escape(expected, int(pid))
    case ["sendto", pid, address]:
        matching = [s for s in inherited(int(pid)) if s.family == family_of(address) and s.type == socket.SOCK_DGRAM]
        succeeded = sendto(matching[0], address)
    case _:
        sys.exit(__doc__)
sys.exit(not succeeded)
