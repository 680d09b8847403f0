"""The kits fail those who break the contract, and never run by themselves."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

BROKEN = """
import pytest
from envoi.errors import ProviderError
from envoi.testing import ChannelContract, ProviderContract
from envoi.types import Outgoing, SendResult, SendStatus


class Connection:
    def send(self, message):
        raise ConnectionResetError

    def close(self):
        pass


class Broken:
    def connect(self):
        return Connection()

    def test(self):
        return ""


class TestBroken(ProviderContract):
    @pytest.fixture
    def provider(self):
        return Broken()

    refusing = busy = vanishing = unreachable = provider

    @pytest.fixture
    def messages(self):
        return [Outgoing(key="k", address="a@b.test", sender="c@d.test", payload=b"x")] * 3


class TestForgetful(ChannelContract):
    pass


TestRenamed = ProviderContract
"""


def test_broken_plugins_are_found_out(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(BROKEN)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 1, "only closing twice works"
    assert outcomes["failed"] == 6
    result.stdout.fnmatch_lines(["*TestForgetful must give the fixture spec*"])
    assert "TestRenamed" not in result.stdout.str()
