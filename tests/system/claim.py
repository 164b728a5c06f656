# SPDX-License-Identifier: AGPL-3.0-or-later
"""claim.py URL CODE FINGERPRINT RECOVERY_KEY: claims an appliance over its HTTPS API, as the setup page does.

Nothing is sent unless the certificate is the one whose SHA-256 the host told."""

import hashlib
import http.client
import json
import ssl
import sys
from urllib.parse import urlsplit

url, code, fingerprint, recovery_key = sys.argv[1:]


def connect() -> http.client.HTTPSConnection:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    connection = http.client.HTTPSConnection(urlsplit(url).netloc, context=context, timeout=30)
    connection.connect()
    presented = hashlib.sha256(connection.sock.getpeercert(binary_form=True)).hexdigest()
    if presented != fingerprint.lower():
        sys.exit(f"another certificate is presented: {presented}")
    return connection


def ask(connection: http.client.HTTPSConnection, method: str, path: str, body: dict | None = None) -> dict:
    text = json.dumps(body) if body is not None else None
    connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
    answer = connection.getresponse()
    content = answer.read().decode()
    if answer.status not in (200, 201):
        sys.exit(f"{method} {path}: {answer.status} {content}")
    return json.loads(content)


connection = connect()
facts = ask(connection, "GET", "/api/v1/setup")
assert facts["fingerprint"] == fingerprint.lower(), facts
scope = ask(connection, "PUT", "/api/v1/setup/scope", {
    "code": code, "names": ["meet.example.lan"], "networks": ["10.0.0.0/8", "127.0.0.0/8"],
})
done = ask(connection, "POST", "/api/v1/setup/claim", {
    "code": code,
    "operator": {"user_name": "olga", "display_name": "Olga Operator"},
    "recovery_public_key": recovery_key,
    "root_fingerprint": scope["root_fingerprint"],
})
assert done["operator"]["user_name"] == "olga" and done["initial_password"], done
