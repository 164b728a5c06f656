# SPDX-License-Identifier: AGPL-3.0-or-later
"""Knocks at the relay over WebTransport with an implementation that shares nothing with ours, from docs/protocol.md.

    peer.py ADDRESS PORT NAME ROOT.pem

QUIC, TLS 1.3, HTTP/3 and WebTransport are aioquic's. It opens a session at /xr/v1 and a control stream, and says
something that does not let it in; what the relay closes the session with is printed as one JSON object for each try.
"""

import asyncio
import json
import struct
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import Buffer
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted

# The first byte of a control stream.
CONTROL = b"\x01"
# RFC 9297 §3.2, draft-ietf-webtrans-http3 §6: how a session ends.
CLOSE_SESSION = 0x2843
PATIENCE = 20


def varint(number):
    """As protobuf and the length of a control message have it."""
    bytes_ = []
    while number > 0x7F:
        bytes_.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*bytes_, number])


def behind_length(data):
    return varint(len(data)) + data


def join(ticket):
    """ClientMessage { join: Join { version: 1, ticket, key } } behind its length."""
    said = b"\x08\x01"
    if ticket:
        said += b"\x12" + behind_length(ticket)
    said += b"\x1a" + behind_length(bytes(range(32)))
    return behind_length(b"\x0a" + behind_length(said))


TRIES = {
    "no ticket": CONTROL + join(b""),
    "a ticket that is none": CONTROL + join(b"eyJhbGciOiJIUzUxMiJ9." + b"e" * 150 + b".none"),
    "no message": CONTROL + b"\x03\xff\xff\xff",
    "no control stream": b"\x03" + b"\x00" * 8,
    "another path": None,
}


class Peer(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.seen = {}
        self.capsules = b""
        self.over = asyncio.Event()
        self.answered = asyncio.Event()

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.seen["alpn"] = event.alpn_protocol
        if isinstance(event, ConnectionTerminated):
            self.over.set()
            self.answered.set()
        for happened in self.http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self.seen["status"] = int(dict(happened.headers)[b":status"])
                self.answered.set()
            if isinstance(happened, DataReceived):
                self.capsules += happened.data
                self.read_capsule()

    def read_capsule(self):
        if len(self.capsules) < 4:
            return
        buffer = Buffer(data=self.capsules)
        kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
        if kind == CLOSE_SESSION and len(self.capsules) >= buffer.tell() + length:
            said = buffer.pull_bytes(length)
            self.seen["code"] = struct.unpack(">I", said[:4])[0]
            self.seen["reason"] = said[4:].decode()
            self.over.set()

    async def knock(self, authority, path, said):
        session = self._quic.get_next_available_stream_id()
        self.http.send_headers(session, [
            (b":method", b"CONNECT"),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", path),
            (b":protocol", b"webtransport"),
        ])
        self.transmit()
        await self.answered.wait()
        if said is not None and self.seen.get("status") == 200:
            stream = self.http.create_webtransport_stream(session)
            self._quic.send_stream_data(stream, said)
            self.transmit()
            await self.over.wait()


async def main(address, port, name, root):
    for title, said in TRIES.items():
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=["h3"], server_name=name, max_datagram_frame_size=65_536
        )
        configuration.load_verify_locations(root)
        async with connect(address, int(port), configuration=configuration, create_protocol=Peer) as peer:
            path = b"/xr/v1" if said else b"/elsewhere"
            await asyncio.wait_for(peer.knock(f"{name}:{port}", path, said), PATIENCE)
            print(json.dumps({"try": title, **peer.seen}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
