"""The tutorial as it stands: from nothing to a message through a provider of one's own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from uuid import uuid4

import pytest
from click.testing import CliRunner

from envoi.audience.collection import collect
from envoi.cli import commands
from envoi.cli.context import opened
from envoi.db import Database
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.errors import ProviderError
from envoi.mailings.launch import launch_due
from envoi.settings import load_settings
from envoi.tenants.service import find_tenant

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "tutorial.md"
KEY = "a key only for tests, long enough"
OFFLINE = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet")


class Reader:
    """Somebody who follows the tutorial, in a folder of their own."""

    def __init__(self, folder: Path, port: int, slug: str) -> None:
        self.folder, self.site = folder, folder / "site"
        text = PAGE.read_text(encoding="utf-8").replace("8099", str(port))
        self.blocks = re.findall(
            r"```(\w+)\n(.*?)```", text.replace("greengrocer", slug), re.DOTALL
        )

    def code(self, language: str) -> list[str]:
        return [code for found, code in self.blocks if found == language]

    def do(self, line: str) -> str:
        """Run a line of a shell; `envoi` within this process, so that it does not take seconds."""
        program, *arguments = shlex.split(line)
        if program == "envoi":
            done = CliRunner().invoke(commands, arguments, catch_exceptions=False)
            assert done.exit_code == 0, done.output
            return done.output
        target = ("--target", str(self.site)) if program == "pip" else ()
        offline = OFFLINE if program == "pip" else ("-p", "no:cacheprovider")
        run = [sys.executable, "-m", program, *arguments, *target, *offline]
        ran = subprocess.run(
            run,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture
def reader(
    tmp_path: Path,
    database: Database,
    postgres_url: str,
    redis_url: str,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reader]:
    """The reader, with an installation that the commands find."""
    given = {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "DATA_DIR": str(tmp_path / "data"),
        "SECRET_KEY": KEY,
        "UNDO_SECONDS": "0",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"ENVOI_{name}", value)
    monkeypatch.chdir(tmp_path)
    made = Reader(tmp_path, free_port, f"g{uuid4().hex[:10]}")
    monkeypatch.syspath_prepend(made.site)
    yield made
    for name in [n for n in sys.modules if n.partition(".")[0] == "envoi_acme_sms"]:
        del sys.modules[name]


@pytest.mark.slow
def test_the_tutorial_leads_to_a_message(reader: Reader, database: Database) -> None:
    write, prove, company, message = reader.code("sh")
    for line in (*write.splitlines(), *prove.splitlines()):
        said = reader.do(line)
    assert "wrong" not in said

    gateway, everybody, mailing = reader.code("json")
    (reader.folder / "service.py").write_text(reader.code("python")[0])
    (reader.folder / "gateway.json").write_text(gateway)
    with subprocess.Popen(
        [sys.executable, "service.py"], cwd=reader.folder, stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            follow_the_rest(reader, company, message, everybody, mailing)
            assert service.stdout is not None
            arrived = json.loads(service.stdout.readline())
        finally:
            service.terminate()
    assert arrived["to"] == "+4915112345678"
    assert (arrived["from"], arrived["text"]) == ("Greens", "Hello Anna")


def eventually(reader: Reader, line: str) -> str:
    """Repeat a line until the service, which has only just been started, answers."""
    deadline = monotonic() + 60
    while True:
        try:
            return reader.do(line)
        except ProviderError:
            assert monotonic() < deadline, "the service has not come up"
            sleep(0.1)


def run_up(slug: str, mailing_id: int) -> None:
    """What `envoi up` does with a mailing that is due."""
    settings = load_settings()
    with opened(settings) as installation:
        tenant_id = find_tenant(installation.database, slug).id
        run_id = launch_due(installation, tenant_id, mailing_id)
        assert run_id is not None
        collect(installation.database, installation.plugins, tenant_id, run_id)
        with SenderSession(installation.database, settings.data_dir, 1) as sender:
            engine = Engine(installation, sender)
            engine.send_run(tenant_id, run_id, lambda: False)
            engine.connections.close_idle(0)


def follow_the_rest(
    reader: Reader, company: str, message: str, everybody: str, mailing: str
) -> None:
    """Steps 4 and 5, with the numbers that the commands print."""
    for line in company.splitlines():
        said = eventually(reader, line) if "test" in line else reader.do(line)
    assert "HTTP 200" in said
    (reader.folder / "customers.csv").write_text(reader.code("csv")[0])
    (reader.folder / "everybody.json").write_text(everybody)
    imported, segment, create, estimate, launch = message.splitlines()
    reader.do(imported)
    number = json.loads(reader.do(segment))["id"]
    document = json.loads(mailing) | {"segment_id": number}
    (reader.folder / "mailing.json").write_text(json.dumps(document))
    made = json.loads(reader.do(create))["id"]
    reader.do(estimate.replace(" 1", f" {made}"))
    reader.do(launch.replace(" 1 --", f" {made} --"))
    run_up(launch.split("--tenant ")[1].split()[0], made)
