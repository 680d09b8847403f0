"""Contract kits: tests that a plugin inherits to prove that it keeps its promises.

Inherit a kit in a class whose name begins with `Test` and give its fixtures:

    class TestMyProvider(ProviderContract):
        @pytest.fixture
        def provider(self): ...
"""

from envoi.testing.cascade import CascadeContract
from envoi.testing.channel import ChannelContract
from envoi.testing.contract import Contract
from envoi.testing.limit import LimitContract
from envoi.testing.macro import MacroContract
from envoi.testing.provider import ProviderContract
from envoi.testing.rule_kind import RuleKindContract
from envoi.testing.segment_source import SegmentSourceContract
from envoi.testing.service import FakeService
from envoi.testing.web_provider import Answers, WebProviderContract

__all__ = [
    "Answers",
    "CascadeContract",
    "ChannelContract",
    "Contract",
    "FakeService",
    "LimitContract",
    "MacroContract",
    "ProviderContract",
    "RuleKindContract",
    "SegmentSourceContract",
    "WebProviderContract",
]
