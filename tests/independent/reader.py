#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Opens every file of a test appliance from docs/files.md, docs/sign-in.md and the master key alone.

None of the appliance's code and no SQLCipher is used: only `cryptography`, `PyJWT` and the standard library.
Exit codes: 0 everything held, 1 a check failed, 2 wrong usage. Section names in docstrings are headings of
docs/files.md unless they say docs/sign-in.md.
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import json
import os
import re
import sqlite3
import stat
import struct
import sys
import uuid
from pathlib import Path

import jwt
from cryptography.exceptions import InvalidKey, InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SYSTEM = uuid.UUID(int=0)
KEY_BYTES = {"file": 32, "field": 32, "token": 64, "identity": 32}
PAGE, RESERVE, SALT, IV = 4096, 80, 16, 16
MAGIC = b"SQLite format 3\x00"
LOCK_PAGE = 0x40000000 // PAGE + 1  # SQLite never writes the page at 1 GiB
WAL_HEADER, FRAME_HEADER = 32, 24


class CheckFailed(Exception):
    """A check that docs/files.md or docs/sign-in.md calls for did not hold."""


class Usage(Exception):
    """The caller named something that is not there."""


# --- Notation ---------------------------------------------------------------------------------------------


def u32(value):
    """Big-endian, as in the preamble ("Notation")."""
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


def i64(value):
    return struct.pack(">q", value)


def frame(data):
    """`frame(x)` is `u32(length of x) ‖ x` ("Notation")."""
    return u32(len(data)) + data


def unhex(text, length=None):
    """Lower-case hexadecimal only ("Notation")."""
    if not isinstance(text, str) or not re.fullmatch(r"([0-9a-f]{2})*", text):
        raise CheckFailed("not lower-case hexadecimal")
    data = bytes.fromhex(text)
    if length is not None and len(data) != length:
        raise CheckFailed(f"{len(data)} bytes of hexadecimal where {length} belong")
    return data


def unbase64(text, length=None):
    """base64url without padding, canonical (docs/sign-in.md, preamble)."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise CheckFailed("not base64url without padding")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64(data) != text:
        raise CheckFailed("base64url that is not canonical")
    if length is not None and len(data) != length:
        raise CheckFailed(f"{len(data)} bytes of base64url where {length} belong")
    return data


def to_base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def workspace_id(text):
    """A workspace id in its text form, a lower-case UUID ("Notation")."""
    try:
        value = uuid.UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise CheckFailed(f"not a workspace id: {text!r}") from None
    if str(value) != text:
        raise CheckFailed(f"not a workspace id in canonical form: {text!r}")
    return value


def row_id(value):
    """The 16-byte id of a row ("Sealed fields"); read also from its text form."""
    return bytes(value) if isinstance(value, bytes) and len(value) == 16 else workspace_id(value).bytes


def verify(public, signature, message, what):
    """One Ed25519 signature; `public` is 32 bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        raise CheckFailed(f"{what}: the signature does not hold") from None


def raw_public(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


# --- Wrapped keys -----------------------------------------------------------------------------------------


def unwrap_keys(path, master):
    """Opens one keys/<workspace id>.json ("Wrapped keys"): {(purpose, version): key}.

    The id in the AAD is the one in the *file name*, so a renamed file does not open; the id inside must agree.
    """
    workspace = workspace_id(path.stem)
    data = json.loads(path.read_text("utf-8"))
    if data.get("format") != "conclave-keys-1":
        raise CheckFailed(f"{path.name}: format {data.get('format')!r}")
    if data.get("workspace") != str(workspace):
        raise CheckFailed(f"{path.name}: written for workspace {data.get('workspace')!r}")
    keys = {}
    for entry in data["keys"]:
        purpose, version = entry["purpose"], entry["version"]
        name = f"{path.name}: {purpose} {version}"
        if purpose not in KEY_BYTES or (purpose == "identity" and workspace != SYSTEM):
            raise CheckFailed(f"{name}: a purpose that does not belong here")
        if type(version) is not int or not 1 <= version < 2**32 or (purpose, version) in keys:
            raise CheckFailed(f"{name}: not a version of its own")
        aad = b"conclave-key-1\x00" + workspace.bytes + u32(version) + purpose.encode("ascii")
        try:
            key = AESGCM(master).decrypt(unhex(entry["nonce"], 12), unhex(entry["sealed"]), aad)
        except InvalidTag:
            raise CheckFailed(f"{name}: does not open under this master key, workspace, version and purpose") from None
        if len(key) != KEY_BYTES[purpose]:
            raise CheckFailed(f"{name}: {len(key)} bytes where {KEY_BYTES[purpose]} belong")
        keys[purpose, version] = key
    wanted = set(KEY_BYTES) if workspace == SYSTEM else set(KEY_BYTES) - {"identity"}
    missing = wanted - {purpose for purpose, _ in keys}
    if missing:
        raise CheckFailed(f"{path.name}: no key for {', '.join(sorted(missing))}")
    return keys


# --- Databases --------------------------------------------------------------------------------------------


class PageReader:
    """Decrypts SQLCipher 4 pages under a raw key ("Databases")."""

    def __init__(self, key, salt):
        self.key, self.salt = key, salt
        self.mac = hashlib.pbkdf2_hmac("sha512", key, bytes(b ^ 0x3A for b in salt), 2, 32)

    def holds(self, number, page):
        """HMAC-SHA-512 over ciphertext ‖ IV ‖ page number as a little-endian u32."""
        start = SALT if number == 1 else 0
        tag = hmac.digest(self.mac, page[start : PAGE - 64] + struct.pack("<I", number), "sha512")
        return hmac.compare_digest(tag, page[PAGE - 64 :])

    def open(self, number, page):
        """The plain page. Page 1 gets the SQLite magic back where the salt stood; the reserved bytes stay."""
        if not self.holds(number, page):
            raise CheckFailed(f"page {number}: its HMAC does not hold")
        if number == 1 and page[:SALT] != self.salt:
            raise CheckFailed("page 1 in the WAL has another salt than the file")
        start = SALT if number == 1 else 0
        iv = page[PAGE - RESERVE : PAGE - RESERVE + IV]
        decryptor = Cipher(algorithms.AES(self.key), modes.CBC(iv)).decryptor()
        plain = decryptor.update(page[start : PAGE - RESERVE]) + decryptor.finalize()
        return (MAGIC if number == 1 else b"") + plain + page[PAGE - RESERVE :]


def wal_checksum(data, s0, s1, order):
    """The running checksum of SQLite's WAL format, over 8-byte steps."""
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for a, b in zip(words[::2], words[1::2]):
        s0 = (s0 + a + s1) & 0xFFFFFFFF
        s1 = (s1 + b + s0) & 0xFFFFFFFF
    return s0, s1


def read_wal(wal):
    """The committed frames of a WAL: ({page number: encrypted page}, pages in the database or None, facts).

    The layout is plain SQLite; the checksums cover the pages as they lie there, encrypted. Frames count as
    long as salts match and checksums hold, up to the last commit. A frame that carries the *current* salts
    with a wrong checksum is no leftover of an older round: it is damage, or a write torn by a crash ("torn").
    """
    facts = {"wal_frames": 0, "wal_committed": 0, "wal_torn_at": None}
    if len(wal) < WAL_HEADER:
        return {}, None, facts
    magic, version, page_size, _, salt1, salt2, c0, c1 = struct.unpack(">8I", wal[:WAL_HEADER])
    if magic & ~1 != 0x377F0682 or version != 3007000 or page_size != PAGE:
        raise CheckFailed("WAL: not a WAL header of 4096-byte pages")
    order = ">" if magic & 1 else "<"
    running = wal_checksum(wal[:24], 0, 0, order)
    if running != (c0, c1):
        raise CheckFailed("WAL: the header's checksum does not hold")
    pages, pending, size = {}, {}, None
    step = FRAME_HEADER + PAGE
    for index, at in enumerate(range(WAL_HEADER, len(wal) - step + 1, step)):
        head, page = wal[at : at + FRAME_HEADER], wal[at + FRAME_HEADER : at + step]
        number, commit, f1, f2, c0, c1 = struct.unpack(">6I", head)
        if (f1, f2) != (salt1, salt2):
            break
        running = wal_checksum(page, *wal_checksum(head[:8], *running, order), order)
        if running != (c0, c1) or number == 0:
            facts["wal_torn_at"] = index + 1
            break
        facts["wal_frames"] = index + 1
        pending[number] = page
        if commit:
            pages.update(pending)
            pending, size = {}, commit
            facts["wal_committed"] = index + 1
    return pages, size, facts


def read_steadily(path):
    """Database and WAL of a live appliance: the WAL must be the same before and after reading the database."""
    wal_path = path.with_name(path.name + "-wal")
    for _ in range(20):
        before = wal_path.read_bytes() if wal_path.exists() else b""
        main = path.read_bytes()
        if before == (wal_path.read_bytes() if wal_path.exists() else b""):
            return main, before
    raise CheckFailed(f"{path}: written to faster than it can be read")


def decrypt(path, file_keys, allow_torn_wal=False):
    """A SQLCipher 4 file with its WAL as a plain SQLite image, every page authenticated ("Databases")."""
    journal = path.with_name(path.name + "-journal")
    if journal.exists() and journal.stat().st_size:
        raise CheckFailed(f"{journal.name}: a rollback journal; appliances write WAL only")
    main, wal = read_steadily(path)
    if len(main) < PAGE or len(main) % PAGE:
        raise CheckFailed(f"{path.name}: {len(main)} bytes are not whole pages")
    frames, size, facts = read_wal(wal)
    if facts["wal_torn_at"] and not allow_torn_wal:
        raise CheckFailed(f"{path.name}-wal: frame {facts['wal_torn_at']} has this WAL's salts and a wrong checksum")
    count = size or len(main) // PAGE
    first = main[:PAGE]
    for version in sorted(file_keys, reverse=True):
        reader = PageReader(file_keys[version], main[:SALT])
        if reader.holds(1, first) or (1 in frames and reader.holds(1, frames[1])):
            break
    else:
        raise CheckFailed(f"{path.name}: page 1: its HMAC does not hold under any version of the file key")
    image, stale = [], []
    for number in range(1, max(count, len(main) // PAGE) + 1):
        page = main[(number - 1) * PAGE : number * PAGE]
        if number == LOCK_PAGE:
            image.append(page or bytes(PAGE))
        elif number in frames:  # the page in the file is history; a checkpoint cut short may have torn it
            if page and not reader.holds(number, page):
                stale.append(number)
            image.append(reader.open(number, frames[number]))
        elif not page:
            raise CheckFailed(f"{path.name}: page {number} is missing")
        else:
            image.append(reader.open(number, page))
    plain = bytearray(b"".join(image[:count]))
    if plain[20] != RESERVE or struct.unpack(">H", plain[16:18])[0] != PAGE:
        raise CheckFailed(f"{path.name}: page size or reserved bytes in the header are not SQLCipher's")
    if struct.unpack(">I", plain[28:32])[0] > count:
        raise CheckFailed(f"{path.name}: the header counts more pages than there are")
    # Read version and write version: 2 asks for a WAL beside the plain file; its frames are in it already.
    plain[18:20] = b"\x01\x01"
    facts.update(pages=count, salt=main[:SALT].hex(), file_key_version=version, torn_pages_replaced=stale)
    return bytes(plain), facts


def connect(plain):
    """The plain image in memory, after `PRAGMA integrity_check`."""
    database = sqlite3.connect(":memory:")
    database.deserialize(plain)
    database.execute("PRAGMA query_only = 1")
    answer = [row[0] for row in database.execute("PRAGMA integrity_check")]
    if answer != ["ok"]:
        raise CheckFailed("integrity_check: " + "; ".join(answer[:5]))
    return database


class Appliance:
    """A data directory and its master key (the tree at the top of docs/files.md)."""

    def __init__(self, data_dir, master_key=None, allow_torn_wal=False):
        self.root = Path(data_dir)
        if not self.root.is_dir():
            raise Usage(f"{data_dir} is not a directory")
        path = Path(master_key) if master_key else self.root / "master.key"
        if not path.is_file():
            raise Usage(f"{path} is not there; --master-key names another place")
        self.master = path.read_bytes()
        if len(self.master) != 32:
            raise CheckFailed(f"{path}: {len(self.master)} bytes where 32 belong")
        self.allow_torn_wal, self.ring = allow_torn_wal, {}

    def key_files(self):
        return sorted((self.root / "keys").glob("*.json"))

    def keys(self, workspace, purpose):
        """{version: key} of one purpose."""
        if workspace not in self.ring:
            path = self.root / "keys" / f"{workspace}.json"
            if not path.is_file():
                raise CheckFailed(f"no keys for workspace {workspace}")
            self.ring[workspace] = unwrap_keys(path, self.master)
        return {v: key for (p, v), key in self.ring[workspace].items() if p == purpose}

    def identity(self):
        """The identity public key ("Wrapped keys": the seed, highest version)."""
        seeds = self.keys(SYSTEM, "identity")
        return raw_public(Ed25519PrivateKey.from_private_bytes(seeds[max(seeds)]))

    def identities(self):
        """Every version's public key: the others still verify old signatures."""
        return [raw_public(Ed25519PrivateKey.from_private_bytes(s)) for s in self.keys(SYSTEM, "identity").values()]

    def path(self, workspace):
        if workspace == SYSTEM:
            return self.root / "system.db"
        return self.root / "workspaces" / str(workspace) / "workspace.db"

    def workspaces(self):
        """system first, then every directory of workspaces/."""
        folder = self.root / "workspaces"
        return [SYSTEM] + sorted(workspace_id(p.name) for p in folder.iterdir()) if folder.is_dir() else [SYSTEM]

    def open(self, workspace):
        """(connection, plain image, facts) of one database, refused when `meta.workspace` is another's."""
        path = self.path(workspace)
        if not path.is_file():
            raise CheckFailed(f"{path} is not there")
        plain, facts = decrypt(path, self.keys(workspace, "file"), self.allow_torn_wal)
        database = connect(plain)
        row = database.execute("SELECT value FROM meta WHERE key = 'workspace'").fetchone()
        if row is None or row[0] != str(workspace):
            raise CheckFailed(f"{path}: meta.workspace says {row and row[0]!r}, not {workspace}")
        facts["user_version"] = database.execute("PRAGMA user_version").fetchone()[0]
        return database, plain, facts


def appliance_id(public):
    """First 16 bytes of SHA-256 of the identity public key, in hex ("Access tokens")."""
    return hashlib.sha256(public).digest()[:16].hex()


# --- Sealed fields ----------------------------------------------------------------------------------------


def open_field(blob, keys, workspace, table, column, row):
    """One sealed field ("Sealed fields"): u32(version) ‖ nonce ‖ ciphertext ‖ tag."""
    if not isinstance(blob, bytes) or len(blob) < 4 + 12 + 16:
        raise CheckFailed(f"{table}.{column}: not a sealed field")
    version = struct.unpack(">I", blob[:4])[0]
    if version not in keys:
        raise CheckFailed(f"{table}.{column}: sealed under field key {version}, which is not in keys/")
    aad = b"conclave-field-1\x00" + workspace.bytes + u32(version)
    aad += frame(table.encode()) + frame(column.encode()) + frame(row)
    try:
        return AESGCM(keys[version]).decrypt(blob[4:16], blob[16:], aad)
    except InvalidTag:
        raise CheckFailed(f"{table}.{column}: does not open in this place") from None


PHC = re.compile(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")


def phc_parameters(text):
    """Checks an Argon2id PHC string ("Sealed fields") and returns what may be shown of it."""
    match = PHC.fullmatch(text)
    if not match:
        raise CheckFailed("not an Argon2id PHC string")
    memory, passes, lanes = (int(match[i]) for i in (1, 2, 3))
    salt, digest = (base64.b64decode(match[i] + "=" * (-len(match[i]) % 4)) for i in (4, 5))
    if not memory or not passes or not lanes or len(salt) < 8 or len(digest) < 16:
        raise CheckFailed("an Argon2id PHC string with impossible parameters")
    return {"m": memory, "t": passes, "p": lanes, "salt_bytes": len(salt), "hash_bytes": len(digest)}


# --- Access tokens ----------------------------------------------------------------------------------------


def verify_token(appliance, token, audience=None):
    """A JWT under the key its `kid` names, HS512 only, `iss` of this appliance ("Access tokens")."""
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") != "HS512" or header.get("typ") != "JWT" or set(header) != {"alg", "typ", "kid"}:
            raise CheckFailed(f"token header is not that of an access token: {header}")
        match = re.fullmatch(r"([0-9a-f-]{36})\.([1-9][0-9]*)", header["kid"])
        if not match:
            raise CheckFailed(f"kid has another form: {header['kid']!r}")
        workspace, version = workspace_id(match[1]), int(match[2])
        keys = appliance.keys(workspace, "token")
        if version not in keys:
            raise CheckFailed(f"kid names token key {version}, which is not in keys/")
        audience = audience or ("conclave:system" if workspace == SYSTEM else "conclave:member")
        claims = jwt.decode(
            token, keys[version], algorithms=["HS512"], audience=audience, leeway=0,
            issuer=f"conclave:{appliance_id(appliance.identity())}",
            options={"require": ["iss", "aud", "sub", "wid", "sid", "iat", "nbf", "exp"]},
        )
    except jwt.PyJWTError as error:
        raise CheckFailed(f"token: {error}") from None
    if claims["wid"] != str(workspace):
        raise CheckFailed(f"wid {claims['wid']!r} is not the workspace of the kid")
    if claims["aud"] != audience:
        raise CheckFailed(f"aud {claims['aud']!r} is not the single audience {audience!r}")
    return {"header": header, "claims": claims}


# --- Audit records and anchor -----------------------------------------------------------------------------


ACTOR = re.compile(r"operator:local|appliance|anonymous|(operator|account):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse_record(record):
    """The twelve frames of a record and nothing after them ("Audit records")."""
    fields, at = [], 0
    while at < len(record):
        if len(record) - at < 4:
            raise CheckFailed("a frame cut short")
        length = struct.unpack(">I", record[at : at + 4])[0]
        if len(record) - at - 4 < length:
            raise CheckFailed("a frame cut short")
        fields.append(record[at + 4 : at + 4 + length])
        at += 4 + length
    if len(fields) != 12 or [len(fields[i]) for i in (1, 2, 3, 4)] != [16, 8, 32, 8]:
        raise CheckFailed("not the twelve frames of a record")
    texts = [f.decode("utf-8") for f in (fields[0], *fields[5:])]
    actor, strength, _, action, _, decision, _ = texts[1:]
    if texts[0] != "conclave-audit-1" or not ACTOR.fullmatch(actor) or not action:
        raise CheckFailed(f"a record of another form: {texts[:2]}")
    if strength not in ("local-socket", "password", "one-time-link", "setup-code", "none") or decision not in ("allowed", "refused"):
        raise CheckFailed(f"strength {strength!r}, decision {decision!r}")
    return fields


def verify_chain(database, workspace):
    """[hash of record 1, 2, …] of a whole chain ("Audit records"): no gap, every link, every hash."""
    heads, previous = [], bytes(32)
    for sequence, record, digest in database.execute("SELECT sequence, record, hash FROM audit ORDER BY sequence"):
        where = f"{workspace} record {sequence}"
        try:
            fields = parse_record(record)
        except (CheckFailed, ValueError, TypeError) as error:
            raise CheckFailed(f"{where}: {error}") from None
        if sequence != len(heads) + 1 or fields[2] != u64(sequence):
            raise CheckFailed(f"{where}: {len(heads) + 1} should stand here")
        if fields[1] != workspace.bytes:
            raise CheckFailed(f"{where}: a record of another workspace")
        if fields[3] != previous:
            raise CheckFailed(f"{where}: the previous hash is not that of the record before")
        previous = hashlib.sha256(record).digest()
        if digest != previous:
            raise CheckFailed(f"{where}: the hash is not that of the record")
        heads.append(previous)
    return heads


def verify_any(publics, signature, message, what):
    """A signature by one version of the identity key."""
    for public in publics:
        try:
            return verify(public, signature, message, what)
        except CheckFailed:
            pass
    raise CheckFailed(f"{what}: the signature does not hold")


def read_anchor(path, publics):
    """The anchor with all its signatures verified ("Anchor"): (counter, {workspace: (sequence, hash)})."""
    data = json.loads(path.read_text("utf-8"))
    if data.get("format") != "conclave-anchor-1":
        raise CheckFailed(f"anchor: format {data.get('format')!r}")
    message = b"conclave-anchor-1\x00" + u64(data["counter"])
    heads = {}
    for head in data["heads"]:
        workspace, digest = workspace_id(head["workspace"]), unhex(head["hash"], 32)
        message += workspace.bytes + u64(head["sequence"]) + digest
        signed = b"conclave-audit-head-1\x00" + workspace.bytes + u64(head["sequence"]) + digest + i64(head["at"])
        verify_any(publics, unhex(head["signature"], 64), signed, f"anchored head of {workspace}")
        if workspace in heads:
            raise CheckFailed(f"anchor: two heads for {workspace}")
        heads[workspace] = (head["sequence"], digest)
    verify_any(publics, unhex(data["signature"], 64), message, "anchor")
    return data["counter"], heads


def counter_value(value):
    """`anchor.counter` in system.settings, whose form docs/files.md leaves open: a number, its text, or a u64."""
    if isinstance(value, bytes) and len(value) == 8:
        return struct.unpack(">Q", value)[0]
    return int(value)


def check_counter(settings, anchor):
    """The settings are written first ("Anchor"), so they are equal to the anchor, or one ahead after a crash."""
    if settings < anchor:
        raise CheckFailed(f"anchor.counter is {settings} in settings, behind the anchor's {anchor}: system.db rolled back")
    if settings > anchor + 1:
        raise CheckFailed(f"anchor.counter is {settings} in settings, the anchor says {anchor}: an old anchor put back")


def check_head(heads, sequence, digest, workspace):
    """A chain may be longer than its anchored head, never shorter, never another ("Anchor")."""
    if sequence == 0 and digest == bytes(32):
        return
    if len(heads) < sequence:
        raise CheckFailed(f"{workspace}: {len(heads)} records, the anchor knows {sequence}: rolled back")
    if sequence < 1 or heads[sequence - 1] != digest:
        raise CheckFailed(f"{workspace}: record {sequence} has another hash than its anchored head")


# --- HPKE (RFC 9180) and docs/sign-in.md ------------------------------------------------------------------

KEM_X25519, KDF_SHA256, AES_128_GCM, AES_256_GCM = 0x0020, 0x0001, 0x0001, 0x0002


def labeled_extract(suite, salt, label, ikm):
    """RFC 9180 section 4: HMAC-SHA-256 over "HPKE-v1" ‖ suite_id ‖ label ‖ ikm."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def labeled_expand(suite, prk, label, info, length):
    """RFC 9180 section 4."""
    labeled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    return HKDFExpand(hashes.SHA256(), length, labeled).derive(prk)


def kem_shared_secret(dh, enc, public):
    """DHKEM(X25519, HKDF-SHA256) ExtractAndExpand, RFC 9180 section 4.1."""
    suite = b"KEM" + struct.pack(">H", KEM_X25519)
    return labeled_expand(suite, labeled_extract(suite, b"", b"eae_prk", dh), b"shared_secret", enc + public, 32)


def key_schedule(shared, info, aead):
    """(key, base nonce) of mode base, RFC 9180 section 5.1."""
    suite = b"HPKE" + struct.pack(">HHH", KEM_X25519, KDF_SHA256, aead)
    context = b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    secret = labeled_extract(suite, shared, b"secret", b"")
    length = 16 if aead == AES_128_GCM else 32
    return labeled_expand(suite, secret, b"key", context, length), labeled_expand(suite, secret, b"base_nonce", context, 12)


def hpke_seal(public, info, plaintext, aad=b"", aead=AES_256_GCM, ephemeral=None):
    """Single-shot SealBase of the first message: (encapsulated key, ciphertext)."""
    ephemeral = ephemeral or X25519PrivateKey.generate()
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    enc = raw_public(ephemeral)
    key, nonce = key_schedule(kem_shared_secret(dh, enc, public), info, aead)
    return enc, AESGCM(key).encrypt(nonce, plaintext, aad)


def milliseconds(text):
    """An RFC 3339 time in UTC as milliseconds since the epoch."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text):
        raise CheckFailed(f"not a time in UTC: {text!r}")
    moment = datetime.datetime.fromisoformat(text)
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)


def verify_sign_in(answer, pinned=None):
    """A saved GET /api/v1/sign-in (docs/sign-in.md section 1): (key id, public key), signature verified."""
    identity, sealing = unbase64(answer["identity_key"], 32), answer["sealing_key"]
    if pinned is not None and identity != pinned:
        raise CheckFailed("the identity key is not the one that was pinned")
    if answer["appliance"] != appliance_id(identity):
        raise CheckFailed("`appliance` is not the id of the identity key")
    key_id, public = workspace_id(sealing["id"]).bytes, unbase64(sealing["public_key"], 32)
    message = b"conclave-sealing-key-1\x00" + key_id + public + i64(milliseconds(sealing["not_after"]))
    verify(identity, unbase64(sealing["signature"], 64), message, "sealing key")
    return key_id, public


def seal_credential(answer, origin, workspace, user, password, device="independent reader", carrier="token"):
    """The body of POST /api/v1/sessions (docs/sign-in.md sections 2 and 3)."""
    key_id, public = verify_sign_in(answer)
    challenge = unbase64(answer["challenge"])
    info = b"conclave-sign-in-1\x00" + frame(origin.encode()) + key_id + frame(challenge)
    plain = json.dumps({"workspace": workspace, "user_name": user, "password": password}, ensure_ascii=False)
    enc, ciphertext = hpke_seal(public, info, plain.encode())
    sealed = {"key_id": answer["sealing_key"]["id"], "challenge": answer["challenge"], "origin": origin,
              "encapsulated_key": to_base64(enc), "ciphertext": to_base64(ciphertext)}
    return {"sealed": sealed, "device_name": device, "carrier": carrier}


# --- Commands: each returns (result, [failures]) ----------------------------------------------------------


def collect(failures, work, *arguments):
    """Runs one check of many and keeps going."""
    try:
        return work(*arguments)
    except (CheckFailed, ValueError, KeyError, TypeError, sqlite3.Error, OSError, struct.error) as error:
        failures.append(str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}")
        return None


def command_keys(arguments):
    appliance, failures, files = at(arguments), [], []
    if not appliance.key_files():
        failures.append("keys/ holds no file")
    for path in appliance.key_files():
        keys = collect(failures, unwrap_keys, path, appliance.master) or {}
        files.append({"file": path.name, "keys": [
            {"purpose": purpose, "version": version, "bytes": len(key), "sha256": hashlib.sha256(key).hexdigest()[:16]}
            for (purpose, version), key in sorted(keys.items())]})
    return {"files": files}, failures


def command_open(arguments):
    appliance = at(arguments)
    workspace = SYSTEM if arguments.workspace == "system" else workspace_id(arguments.workspace)
    out = Path(arguments.out)
    if out.exists():
        raise Usage(f"{out} exists already")
    if appliance.root.resolve() in out.resolve().parents:
        raise Usage("a plain database does not belong in the data directory")
    database, plain, facts = appliance.open(workspace)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(plain)
    tables = [r[0] for r in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return {"workspace": str(workspace), "out": str(out), **facts, "tables": tables}, []


def command_fields(arguments):
    appliance, failures, found, sessions = at(arguments), [], [], []
    wanted = {}
    for pair in arguments.password:
        name, equals, password = pair.partition("=")
        if not equals:
            raise Usage("--password wants NAME=PASSWORD")
        wanted[name] = (password.encode(), [])
    for workspace in appliance.workspaces():
        collect(failures, read_accounts, appliance, workspace, wanted, failures, found)
        collect(failures, read_sessions, appliance, workspace, failures, sessions)
    for name, (_, verdicts) in wanted.items():
        if not any(verdicts):
            failures.append(f"{name}: " + ("the password does not verify" if verdicts else "no such account"))
    return {"accounts": found, "sessions": sessions}, failures


def read_accounts(appliance, workspace, wanted, failures, found):
    """Every accounts.password_hash of one database ("Sealed fields")."""
    database, _, _ = appliance.open(workspace)
    if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'accounts'").fetchone():
        if workspace != SYSTEM:
            raise CheckFailed(f"{workspace}: no table accounts")
        return
    database.row_factory = sqlite3.Row
    keys = appliance.keys(workspace, "field")
    for row in database.execute("SELECT * FROM accounts WHERE password_hash IS NOT NULL"):
        collect(failures, read_account, row, keys, workspace, wanted, found)


def read_account(row, keys, workspace, wanted, found):
    """One password_hash, and the password given for its name, if any."""
    identity = row_id(row["id"])
    phc = open_field(row["password_hash"], keys, workspace, "accounts", "password_hash", identity).decode()
    entry = {"workspace": str(workspace), "account": str(uuid.UUID(bytes=identity)), **phc_parameters(phc)}
    if wanted:
        entry["user_name"] = row["user_name"]
        if row["user_name"] in wanted:
            password, verdicts = wanted[row["user_name"]]
            try:
                Argon2id.verify_phc_encoded(password, phc)
                verdicts.append(True)
            except InvalidKey:
                verdicts.append(False)
            entry["password_verifies"] = verdicts[-1]
    found.append(entry)


def read_sessions(appliance, workspace, failures, found):
    """Every sessions.exported of one database ("Sealed fields")."""
    database, _, _ = appliance.open(workspace)
    columns = [row[1] for row in database.execute("PRAGMA table_info(sessions)")]
    if "exported" not in columns:  # a release before it
        return
    keys = appliance.keys(workspace, "field")
    for session, sealed in database.execute("SELECT id, exported FROM sessions WHERE exported IS NOT NULL"):
        collect(failures, read_session, session, sealed, keys, workspace, found)


def read_session(session, sealed, keys, workspace, found):
    """One sessions.exported; what is in it is not shown."""
    identity = row_id(session)
    exported = open_field(sealed, keys, workspace, "sessions", "exported", identity)
    if len(exported) != 32:
        raise CheckFailed(f"{workspace}: sessions.exported has {len(exported)} bytes, not 32")
    found.append({"workspace": str(workspace), "session": str(uuid.UUID(bytes=identity))})


def command_token(arguments):
    return verify_token(at(arguments), arguments.token, arguments.audience), []


def command_audit(arguments):
    appliance, failures, chains = at(arguments), [], {}
    settings = None
    for workspace in collect(failures, appliance.workspaces) or [SYSTEM]:
        opened = collect(failures, appliance.open, workspace)
        heads = opened and collect(failures, verify_chain, opened[0], workspace)
        if heads is not None:
            chains[workspace] = heads
        if opened and workspace == SYSTEM:
            row = collect(failures, lambda: opened[0].execute(
                "SELECT value FROM settings WHERE key = 'anchor.counter'").fetchone())
            settings = collect(failures, counter_value, row[0]) if row else None
    result = {"chains": [{"workspace": str(w), "records": len(h), "head": h[-1].hex() if h else None}
                         for w, h in chains.items()], "settings_counter": settings}
    path = appliance.root / "anchor"
    publics = collect(failures, appliance.identities)
    anchor = publics and collect(failures, read_anchor, path, publics)
    if anchor:
        counter, heads = anchor
        result["anchor_counter"] = counter
        result["not_yet_anchored"] = [str(w) for w in chains if w not in heads]
        if settings is None:
            failures.append("settings hold no anchor.counter")
        else:
            collect(failures, check_counter, settings, counter)
        for workspace, (sequence, digest) in heads.items():
            if workspace in chains:
                collect(failures, check_head, chains[workspace], sequence, digest, workspace)
            else:
                failures.append(f"{workspace}: anchored, and there is no readable chain")
    return result, failures


def load(path):
    if not Path(path).is_file():
        raise Usage(f"{path} is not a file")
    return json.loads(Path(path).read_text("utf-8"))


def command_sign_in_key(arguments):
    answer = load(arguments.file)
    pinned = unbase64(arguments.identity_key, 32) if arguments.identity_key else None
    key_id, _ = verify_sign_in(answer, pinned)
    now = datetime.datetime.now(datetime.timezone.utc).timestamp() * 1000
    return {"appliance": answer["appliance"], "sealing_key": str(uuid.UUID(bytes=key_id)),
            "expired": milliseconds(answer["sealing_key"]["not_after"]) < now}, []


def command_seal(arguments):
    password = sys.stdin.readline().rstrip("\n") if arguments.password == "-" else arguments.password
    return seal_credential(load(arguments.file), arguments.origin, arguments.workspace, arguments.user, password,
                           arguments.device_name, arguments.carrier), []


def command_scan(arguments):
    """No file is plain SQLite or holds a marker; UTF-8 and UTF-16 are both looked for."""
    root, failures, count, size = Path(arguments.data_dir), [], 0, 0
    if not root.is_dir():
        raise Usage(f"{root} is not a directory")
    if not all(arguments.marker):
        raise Usage("an empty marker is in every file")
    needles = [("a plain SQLite header", MAGIC)]
    for text in arguments.marker:
        needles += [(f"the marker {text!r}", text.encode(e)) for e in ("utf-8", "utf-16-le", "utf-16-be")]
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not stat.S_ISREG(path.lstat().st_mode):
            if path.is_symlink():
                failures.append(f"{path.relative_to(root)}: a symbolic link, not looked into")
            continue
        data = collect(failures, path.read_bytes)
        if data is None:
            continue
        count, size = count + 1, size + len(data)
        for what, needle in needles:
            offset = data.find(needle)
            if offset >= 0:
                failures.append(f"{path.relative_to(root)}: {what} at byte {offset}")
    if not count:
        failures.append("no file was scanned")
    return {"files": count, "bytes": size, "markers": len(arguments.marker)}, failures


def at(arguments):
    return Appliance(arguments.data_dir, arguments.master_key, arguments.allow_torn_wal)


def parser():
    top = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)

    def add(name, run, help, data_dir=True):
        sub = commands.add_parser(name, help=help)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="one JSON object on standard output")
        if data_dir:
            sub.add_argument("data_dir")
            sub.add_argument("--master-key", help="where the master key is, when not DATA_DIR/master.key")
            sub.add_argument("--allow-torn-wal", action="store_true", help="read up to a WAL frame torn by a crash")
        return sub

    add("keys", command_keys, "unwrap every key and show its fingerprint")
    sub = add("open", command_open, "decrypt one database into a plain SQLite file")
    sub.add_argument("workspace", help="workspace id, or system")
    sub.add_argument("--out", required=True)
    sub = add("fields", command_fields, "open every sealed field")
    sub.add_argument("--password", action="append", default=[], metavar="NAME=PASSWORD")
    sub = add("token", command_token, "verify an access token")
    sub.add_argument("token")
    sub.add_argument("--audience")
    add("audit", command_audit, "verify every audit chain and the anchor")
    sub = add("sign-in-key", command_sign_in_key, "verify a saved GET /api/v1/sign-in", data_dir=False)
    sub.add_argument("file")
    sub.add_argument("--identity-key", help="the identity key from an invitation, base64url; behind =, as it may begin with -")
    sub = add("seal", command_seal, "make the body of POST /api/v1/sessions", data_dir=False)
    sub.add_argument("file")
    for option in ("--origin", "--workspace", "--user", "--password"):
        sub.add_argument(option, required=True, help="- reads a line" if option == "--password" else None)
    sub.add_argument("--device-name", default="independent reader")
    sub.add_argument("--carrier", choices=["token", "cookie"], default="token")
    sub = add("scan", command_scan, "search every file for plain text", data_dir=False)
    sub.add_argument("data_dir")
    sub.add_argument("--marker", action="append", default=[], metavar="TEXT")
    return top


def show(result, failures, arguments):
    """JSON for machines (`seal` always: its output is a request body), lines for people."""
    if arguments.command == "seal" and not failures:
        print(json.dumps(result, ensure_ascii=False, indent=None if arguments.json else 1))
    elif arguments.json:
        body = {"ok": not failures, "command": arguments.command, "result": result, "failures": failures}
        print(json.dumps(body, ensure_ascii=False))
    else:
        for key, value in (result or {}).items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                print(f"{key}:")
                for item in value:
                    print("  " + json.dumps(item, ensure_ascii=False))
            else:
                print(f"{key}: {json.dumps(value, ensure_ascii=False)}")
        for failure in failures:
            print(f"FAILED: {failure}", file=sys.stderr)
        print("ok" if not failures else f"{len(failures)} failed")


def main(argv=None):
    arguments = parser().parse_args(argv)
    try:
        result, failures = arguments.run(arguments)
    except Usage as error:
        print(f"reader.py: {error}", file=sys.stderr)
        return 2
    except (CheckFailed, ValueError, KeyError, TypeError, sqlite3.Error, OSError, struct.error) as error:
        result = None
        failures = [str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}"]
    show(result, failures, arguments)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
