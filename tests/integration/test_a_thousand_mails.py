"""A thousand messages as a mailbox provider reads them: header fields and signatures."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from envoi.db import Database
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.plugins import Plugins
from envoi_channel_email.dkim import DkimSigner
from factories.delivery import a_run, an_installation, smtp_gateway
from smtp_sink import SmtpSink

MESSAGES = 1_000
LISTS = {b"list-unsubscribe", b"list-unsubscribe-post"}


def test_what_mailbox_providers_demand(
    database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path
) -> None:
    """Check 19."""
    installation = an_installation(database, plugins, tmp_path)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signing = {"dkim_domain": "fieldmarket.test", "dkim_selector": "e1", "dkim_key": pem}
    with SmtpSink() as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port, **signing)
            run = a_run(session, tenant_id, gateway, MESSAGES)
        with SenderSession(database, tmp_path, 1) as sender:
            engine = Engine(installation, sender)
            engine.send_run(tenant_id, run.id, lambda: False, 120)
            engine.connections.close_idle(0)
    record = DkimSigner("fieldmarket.test", "e1", key).record.encode()
    assert len(sink.received) == MESSAGES
    for one in sink.received:
        assert dkim.verify(one.data, dnsfunc=lambda name, timeout=5: record)
        signed = re.search(rb"h=([^;]+);", one.data)
        assert signed
        assert set(signed[1].split(b":")) >= LISTS | {b"feedback-id", b"message-id", b"from"}
    messages = [message_from_bytes(one.data, policy=default) for one in sink.received]
    for name in ("Message-ID", "List-Unsubscribe"):
        values = [_only(message, name) for message in messages]
        assert len(set(values)) == MESSAGES
    for message in messages:
        assert re.fullmatch(r"<http://links\.test/u/[\w-]{60}>", _only(message, "List-Unsubscribe"))
        assert _only(message, "List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
        assert _only(message, "Feedback-ID") == f"{run.id}:0:mailing:envoi{tenant_id}"
        assert not message.defects


def _only(message: EmailMessage, name: str) -> str:
    [value] = message.get_all(name, [])
    return str(value)
