"""SMPP over TLS: reading and writing at once, and certificates that are not valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.testing.certificates import DAY, HERE, NOW, Authority, make_authority
from envoi.types import SendStatus
from envoi_simulators.smsc import Smsc
from smsc import smpp_account, texts


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


def test_batches_go_through_tls(trusted: Authority) -> None:
    with Smsc(tls=trusted.context(HERE)) as smsc:
        connection = smpp_account(smsc.port, security="tls", window=50).connect()
        results = [r for n in range(4) for r in connection.send_batch(texts(500, first=500 * n))]
        connection.close()
        assert {result.status for result in results} == {SendStatus.ACCEPTED}
        assert len(smsc.taken) == 2_000


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a: a.context(HERE, begins=NOW - 2 * DAY, ends=NOW - DAY), "expired"),
        (lambda a: a.context([x509.DNSName("smpp.other.test")]), "another server"),
    ],
    ids=["expired", "another host"],
)
def test_a_bad_certificate_is_named(
    trusted: Authority, make: Callable[[Authority], object], words: str
) -> None:
    with Smsc(tls=make(trusted)) as smsc:  # type: ignore[arg-type]
        account = smpp_account(smsc.port, security="tls")
        for ask in (account.connect, account.test):
            with pytest.raises(PermanentProviderError, match=words):
                ask()
        smpp_account(smsc.port, security="tls", verify_certificate=False).connect().close()


def test_tls_where_there_is_none() -> None:
    with Smsc() as smsc, pytest.raises(TemporaryProviderError, match="No TLS with"):
        smpp_account(smsc.port, security="tls").connect()
