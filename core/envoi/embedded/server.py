"""What both embedded servers share: a private folder, one owner at a time, start and stop."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from envoi.embedded.child import SAME_USER, guarded
from envoi.errors import ConfigurationError

LONGEST_SOCKET_PATH = 100  # Linux allows 107 bytes, macOS 103.
START_SECONDS = 300  # Recovery after a power cut may take minutes.
TAKEOVER_SECONDS = 20  # What a server whose supervisor was killed needs to end.


def packaged_file(package: str, pattern: str) -> Path:
    """Find a file in an installed package without importing it."""
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob(pattern):
            return path
    raise ConfigurationError(
        f"The package {package} has no program for this machine. Install it for this platform, "
        "or set ENVOI_DATABASE_URL and ENVOI_REDIS_URL to servers of your own."
    )


class EmbeddedServer(ABC):
    """A server process on a folder of its own, reached through a private Unix socket.

    The lock is a file that this process and the server hold together: it is free only when
    both are gone, so whoever holds it may clear away what a killed server left behind.
    """

    name: ClassVar[str]
    stop_signals: ClassVar[tuple[tuple[signal.Signals, float], ...]]

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.identity = SAME_USER
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for clients; valid as soon as the server has been started once."""

    @abstractmethod
    def _prepare(self) -> None:
        """Bring the folder into a state that the server starts from."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server accepts work."""

    def _configuration(self) -> bytes:
        """What the server reads from its standard input."""
        return b""

    def _finish(self) -> None:  # noqa: B027 - not every server has something to finish
        """Do what a first start needs once the server answers."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Start the server, wait until it answers and return its URL.

        Raises:
            ConfigurationError: If another process runs it already, or it cannot start here.
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._take_lock()
            self._prepare()
            self._clear_sockets()
            self._launch()
            self._finish()
        except PermissionError as error:
            self.stop()
            raise ConfigurationError(
                f"The folder of the embedded {self.name} cannot be used: {error}. Start Envoi as "
                "the user who owns it, or set ENVOI_DATA_DIR to a folder of your own."
            ) from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """End the server, politely first, and give the folder free."""
        if self._process is not None:
            for number, seconds in self.stop_signals:
                self._process.send_signal(number)
                try:
                    self._process.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
            self._process = None
        if self._lock is not None:
            shutil.rmtree(self.socket_folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def keep_running(self) -> None:
        """Start the server again if it has ended without being asked to."""
        if self._process is not None and self._process.poll() is not None:
            self.stop()
            self.start()

    def is_running(self) -> bool:
        """Whether this or another process has the server running."""
        try:
            lock = os.open(self._lock_path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._answers()
        finally:
            os.close(lock)
        return False

    @property
    def log(self) -> Path:
        """What the server has written since its last start."""
        return self.home / "server.log"

    @property
    def socket_folder(self) -> Path:
        """A folder only its owner may enter, with a path short enough for a Unix socket."""
        folder = self.home / "socket"
        if len(os.fsencode(folder)) + len("/.s.PGSQL.5432.lock") <= LONGEST_SOCKET_PATH:
            return folder
        owner = self.home.stat().st_uid
        mark = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        temporary = tempfile.gettempdir()
        if len(temporary) > 40:
            temporary = "/tmp"  # noqa: S108 - the folder below is private and its owner checked
        return Path(temporary, f"envoi-{owner}-{mark}")

    def _password(self, name: str = "password") -> str:
        """The password kept in the folder; made on first use."""
        path = self.home / name
        try:
            return path.read_text("ascii")
        except FileNotFoundError:
            password = secrets.token_urlsafe(24)
            unfinished = path.with_suffix(".unfinished")
            unfinished.touch(mode=0o600)
            unfinished.write_text(password, "ascii")
            unfinished.rename(path)
            return password

    @property
    def _lock_path(self) -> Path:
        return self.home / "lock"

    def _take_lock(self) -> int:
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + TAKEOVER_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._supervised() or time.monotonic() > deadline:
                    os.close(lock)
                    raise ConfigurationError(
                        f"The embedded {self.name} in {self.home} is already running, "
                        "started by another Envoi. Stop that one, or set ENVOI_DATA_DIR to "
                        "another folder."
                    ) from None
                time.sleep(0.05)
            else:
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(os.getpid()).encode(), 0)
                return lock

    def _supervised(self) -> bool:
        """Whether the process that started the running server still lives."""
        try:
            os.kill(int(self._lock_path.read_text() or 0), 0)
        except (ProcessLookupError, ValueError):
            return False
        except PermissionError:
            return True
        return True

    def _clear_sockets(self) -> None:
        folder = self.socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if folder.is_symlink() or (
            found.st_uid != self.home.stat().st_uid and found.st_uid != os.geteuid()
        ):
            raise ConfigurationError(
                f"The socket folder {folder} belongs to somebody else. Remove it, or set "
                "ENVOI_DATA_DIR to a folder with a shorter path."
            )
        folder.chmod(0o700)
        os.chown(folder, self.home.stat().st_uid, -1)
        for leftover in folder.iterdir():
            leftover.unlink()

    def _launch(self) -> None:
        if self._lock is None:
            raise RuntimeError("the lock is taken before the server is launched")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                guarded(
                    self._command(),
                    at_parents_death=self.stop_signals[0][0],
                    identity=self.identity,
                ),
                cwd=self.home,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[self._lock],
                # Ctrl-C in a terminal is for the supervisor: it ends the clients first.
                start_new_session=True,
            )
        if self._process.stdin is not None:
            self._process.stdin.write(self._configuration())
            self._process.stdin.close()
        self._wait_until_it_answers(self._process)

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"The embedded {self.name} did not start. Its last words: {self._last_words()} "
                    f"The whole log is {self.log}."
                )
            time.sleep(0.02)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:]) or "none."
