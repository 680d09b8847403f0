"""Segments against a naive evaluation of the same tree."""

from __future__ import annotations

from datetime import UTC, datetime

from envoi.db import Database
from envoi.plugins import Plugins
from envoi.segments.compile import customer_ids
from factories.customers import make_customers, make_receipts


def test_smoke(database: Database, tenant_id: int, plugins: Plugins) -> None:
    now = datetime.now(UTC)
    tree = {
        "all": [
            {
                "source": "attribute",
                "settings": {"criterion": "city", "operator": "in", "values": ["berlin", "OMSK"]},
            },
            {
                "any": [
                    {
                        "source": "receipts",
                        "settings": {
                            "criterion": "count",
                            "operator": "ge",
                            "value": 3,
                            "within_days": 90,
                        },
                    },
                    {
                        "source": "attribute",
                        "settings": {"criterion": "gender", "operator": "is", "value": "female"},
                    },
                    {
                        "not": [
                            {
                                "source": "receipts",
                                "settings": {
                                    "criterion": "last",
                                    "operator": "in_last",
                                    "days": 10,
                                },
                            }
                        ]
                    },
                ]
            },
        ]
    }
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1000)
        make_receipts(session, tenant_id, each=4)
        query = customer_ids(session, tenant_id, tree, now=now, plugins=plugins)
        print(query)
        found = session.scalars(query).all()
        print(len(found))
        assert found
