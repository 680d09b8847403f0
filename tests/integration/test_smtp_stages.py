"""Every stage of the SMTP dialogue, and everything a server may answer, or not, at it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import BinaryIO

import pytest

from envoi.errors import PermanentProviderError, ProviderError, TemporaryProviderError
from envoi.types import Outgoing, SendStatus
from envoi_channel_email.settings import SmtpSettings
from envoi_channel_email.smtp import SmtpProvider

AGREED = {
    "banner": "220-hello\r\n220 sink",
    "EHLO": "250-sink\r\n250-SIZE 1000\r\n250 PIPELINING",
    "MAIL": "250-ok\r\n250-with more\r\n250 lines",
    "RCPT": "250 ok",
    "DATA": "354-go\r\n354 on",
    "dot": "250-taken\r\n250 as 1",
    "RSET": "250 ok",
}
CLOSES, STALLS, GARBAGE = "closes", "stalls", "\x00\xff garbage"
BEFORE_DOT = ("MAIL", "RCPT", "DATA")


class Server:
    """Answers each command with what the test says; a thread for each connection."""

    def __init__(
        self, answers: dict[str, str], *, in_drops: bool = False, drop_seconds: float = 0
    ) -> None:
        self.answers = AGREED | answers
        self.in_drops = in_drops
        self.drop_seconds = drop_seconds
        self.taken: list[bytes] = []
        self.connections = 0
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, connection.makefile("rb") as lines:
                if self._answer(connection, "banner"):
                    self._listen(connection, lines)
        except OSError:
            """The client has gone: that is its right."""

    def _listen(self, connection: socket.socket, lines: BinaryIO) -> None:
        while line := lines.readline():
            verb = line[:4].decode("latin1").upper()
            if verb == "QUIT" or not self._answer(connection, verb):
                return
            if verb == "DATA" and self.answers["DATA"].startswith("354"):
                data = b""
                while (line := lines.readline()) not in (b".\r\n", b""):
                    data += line
                is_agreed = all(self.answers[s][:1] == "2" for s in ("MAIL", "RCPT", "dot"))
                if is_agreed and line:
                    self.taken.append(data)
                if not self._answer(connection, "dot"):
                    return

    def _answer(self, connection: socket.socket, stage: str) -> bool:
        answer = self.answers.get(stage, "500 what")
        if answer == CLOSES:
            return False
        if answer == STALLS:
            self._ended.wait(5)
            return False
        data = f"{answer}\r\n".encode("latin1")
        for start in range(0, len(data), 1 if self.in_drops else len(data)):
            connection.sendall(data[start : start + (1 if self.in_drops else len(data))])
            self._ended.wait(self.drop_seconds)
        return True


@contextmanager
def server(
    answers: dict[str, str] | None = None, *, in_drops: bool = False, drop_seconds: float = 0
) -> Iterator[Server]:
    running = Server(answers or {}, in_drops=in_drops, drop_seconds=drop_seconds)
    try:
        yield running
    finally:
        running.close()


def account(port: int, **values: float | str) -> SmtpProvider:
    brief = {"reply_timeout": 0.3, "data_timeout": 0.3, "final_timeout": 0.3}
    given = {"host": "127.0.0.1", "port": port, "security": "none", **brief, **values}
    return SmtpProvider(SmtpSettings.model_validate(given))


def message(address: str = "anna@example.test") -> Outgoing:
    head = b"Message-ID: <k1@envoi.test>\r\nSubject: x\r\n\r\nHello\r\n"
    return Outgoing(key="k1", address=address, sender="b+k1@bounce.envoi.test", payload=head)


@pytest.mark.parametrize("in_drops", [False, True])
def test_replies_of_many_lines_and_in_drops(in_drops: bool) -> None:
    with server(in_drops=in_drops) as running:
        connection = account(running.port).connect()
        result = connection.send(message())
        connection.close()
    assert (result.status, result.provider_id) == (SendStatus.ACCEPTED, "taken\nas 1")
    assert len(running.taken) == 1


@pytest.mark.parametrize("extensions", ["250 sink", "250-sink\r\n250 PIPELINING"])
@pytest.mark.parametrize("stage", [*BEFORE_DOT, "dot"])
@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("451 4.3.0 later", SendStatus.REFUSED_NOW),
        ("450-4.2.0 a\r\n450 4.2.0 b", SendStatus.REFUSED_NOW),
        ("554 5.7.1 never", SendStatus.REFUSED),
        ("599", SendStatus.REFUSED),
    ],
)
def test_a_refusal_at_any_stage_is_the_messages(
    extensions: str, stage: str, reply: str, status: SendStatus
) -> None:
    with server({"EHLO": extensions, stage: reply}) as running:
        connection = account(running.port).connect()
        result = connection.send(message())
        assert (result.status, result.code) == (status, int(reply[:3]))
        running.answers |= {stage: AGREED[stage]}
        assert connection.send(message()).status is SendStatus.ACCEPTED, "it stays usable"
        connection.close()
    assert len(running.taken) == 1


@pytest.mark.parametrize("extensions", ["250 sink", "250-sink\r\n250 PIPELINING"])
@pytest.mark.parametrize("stage", BEFORE_DOT)
@pytest.mark.parametrize(
    "answer", ["421 4.3.2 going down", CLOSES, STALLS, GARBAGE, "25", "250+ok"]
)
def test_trouble_before_the_dot_is_the_servers(extensions: str, stage: str, answer: str) -> None:
    with server({"EHLO": extensions, stage: answer}) as running:
        connection = account(running.port).connect()
        with pytest.raises(TemporaryProviderError) as caught:
            connection.send(message())
        assert caught.value.raw
        connection.close()
    assert running.taken == []


@pytest.mark.parametrize(
    "answer", [CLOSES, STALLS, GARBAGE, "2", "250-no end", "354 go on", "150 soon"]
)
def test_no_clear_answer_after_the_dot_is_unknown(answer: str) -> None:
    with server({"dot": answer}) as running:
        connection = account(running.port).connect()
        result = connection.send(message())
        assert result.status is SendStatus.UNKNOWN
        assert result.raw
        running.answers |= AGREED
        assert connection.send(message()).status is SendStatus.ACCEPTED, "on a new connection"
        connection.close()


def test_a_dot_that_stalls_200_times_is_unknown_200_times() -> None:
    """Check 24: never failed, for nobody knows."""
    with server({"dot": STALLS}) as running:
        connection = account(running.port, final_timeout=0.01).connect()
        found = {connection.send(message()).status for _ in range(200)}
        connection.close()
    assert found == {SendStatus.UNKNOWN}


def test_a_reply_that_drips_has_no_more_time() -> None:
    """A server that says a letter now and then would hold a sender for days."""
    with server({"EHLO": "250 " + "x" * 200}, in_drops=True, drop_seconds=0.05) as running:
        began = monotonic()
        with pytest.raises(TemporaryProviderError) as caught:
            account(running.port, reply_timeout=0.5).connect()
        assert monotonic() - began < 5
    assert caught.value.raw == "timed out"


def test_the_final_dot_has_a_time_out_of_its_own() -> None:
    with server({"dot": STALLS}) as running:
        connection = account(running.port, reply_timeout=5, data_timeout=5).connect()
        assert connection.send(message()).status is SendStatus.UNKNOWN
        connection.close()
    assert SmtpSettings(host="x").final_timeout == 600


@pytest.mark.parametrize(
    ("stage", "answer", "error"),
    [
        ("banner", "421 4.3.2 busy", TemporaryProviderError),
        ("banner", "451 later", TemporaryProviderError),
        ("banner", "554 5.7.1 no", PermanentProviderError),
        ("banner", CLOSES, TemporaryProviderError),
        ("banner", STALLS, TemporaryProviderError),
        ("banner", GARBAGE, TemporaryProviderError),
        ("EHLO", "421 4.3.2 busy", TemporaryProviderError),
        ("EHLO", CLOSES, TemporaryProviderError),
        ("EHLO", STALLS, TemporaryProviderError),
        ("EHLO", GARBAGE, TemporaryProviderError),
    ],
)
def test_trouble_while_greeting(stage: str, answer: str, error: type[ProviderError]) -> None:
    with server({stage: answer}) as running, pytest.raises(error) as caught:
        account(running.port).connect()
    assert caught.value.raw
    assert str(caught.value).endswith(".")


def test_old_servers_are_greeted_the_old_way() -> None:
    with server({"EHLO": "502 5.5.2 what", "HELO": "250 sink"}) as running:
        connection = account(running.port).connect()
        assert connection.send(message()).status is SendStatus.ACCEPTED
        connection.close()


def test_a_server_that_hangs_up_in_the_middle_of_the_data() -> None:
    """Its buffer is full before the dot is written, so nothing can have been taken."""
    big = message()
    payload = big.payload + b"x" * 76 * 1_000_000
    with server({"DATA": CLOSES}) as running:
        connection = account(running.port).connect()
        with pytest.raises(TemporaryProviderError):
            connection.send(
                Outgoing(
                    key="k1", address=big.address, sender=big.sender, payload=payload + b"\r\n"
                )
            )
        connection.close()
    assert running.taken == []


def test_connections_end_after_so_many_messages() -> None:
    with server() as running:
        connection = account(running.port, messages_per_connection=3).connect()
        for _ in range(10):
            assert connection.send(message()).status is SendStatus.ACCEPTED
        connection.close()
        assert running.connections == 4
    assert len(running.taken) == 10
