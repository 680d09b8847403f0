"""The worked example of a sent mailing, made in sets.

14,730 customers: 71 without an address, 404 unsubscribed, 998 in the control group, 13,257
recipients, of whom 53 got nothing, 183 bounced, 5,612 opened and 1,148 clicked; 3,268
recipients and 214 of the control group bought.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from envoi.db import Database
from envoi.receipts.attribution import attribute
from ledger_rows import LedgerRun, add_run

_CUSTOMERS = """
INSERT INTO customer (tenant_id, external_id, bucket, first_name, last_name)
SELECT :t, 'C' || n, 0, 'Ann', 'Number ' || n FROM generate_series(1, 14730) n
"""
_NUMBERED = """
CREATE TEMPORARY TABLE c ON COMMIT DROP AS
SELECT id, row_number() OVER (ORDER BY id) AS n FROM customer WHERE tenant_id = :t
"""
_MESSAGES = """
INSERT INTO message (tenant_id, run_id, launched_on, customer_id, variant, state, stage,
    accepted_at, opened_at, delivered_at, clicked_at, bounced_at, code, detail)
SELECT :t, :r, :d, id, CASE WHEN n > 1473 THEN 1 END,
    CASE WHEN n <= 475 THEN 1 WHEN n <= 1473 THEN 2 WHEN n <= 1506 THEN 6 WHEN n <= 1524 THEN 8
        WHEN n <= 1526 THEN 7 ELSE 5 END,
    CASE WHEN n <= 71 THEN 3 WHEN n <= 475 THEN 4 WHEN n BETWEEN 1507 AND 1524 THEN 7 END,
    CASE WHEN n > 1526 THEN CAST(:at AS timestamptz) END,
    CASE WHEN n > 14730 - 5612 THEN CAST(:at AS timestamptz) + interval '1 hour' END,
    CASE WHEN n > 14730 - 5612 THEN CAST(:at AS timestamptz) + interval '1 hour' END,
    CASE WHEN n > 14730 - 1148 THEN CAST(:at AS timestamptz) + interval '2 hours' END,
    CASE WHEN n BETWEEN 1527 AND 1709 THEN CAST(:at AS timestamptz) + interval '1 minute' END,
    CASE WHEN n BETWEEN 1474 AND 1506 THEN 550 WHEN n BETWEEN 1527 AND 1709 THEN 552 END,
    CASE WHEN n BETWEEN 1474 AND 1506 THEN '550 5.1.1 no user ' || n
        WHEN n BETWEEN 1507 AND 1524 THEN 'frequency_cap'
        WHEN n BETWEEN 1527 AND 1709 THEN '552 5.2.2 mailbox full' END
FROM c
"""
_RECEIPTS = """
INSERT INTO receipt (tenant_id, customer_id, at, amount, bucket, external_id)
SELECT :t, id, CAST(:at AS timestamptz) + interval '5 hours' + (n * n % 13) * interval '1 day',
    1000 + n * 37 % 4000, 0, 'R' || n
FROM c WHERE n > 14730 - 3268 OR n BETWEEN 1473 - 213 AND 1473
"""
_HITS = """
INSERT INTO event_counter (tenant_id, run_id, variant, hour, kind, machine, hits)
VALUES (:t, :r, 1, date_trunc('hour', CAST(:at AS timestamptz), 'UTC'), 1, false, 9840),
    (:t, :r, 1, date_trunc('hour', CAST(:at AS timestamptz), 'UTC'), 2, false, 1502),
    (:t, :r, 1, date_trunc('hour', CAST(:at AS timestamptz), 'UTC'), 1, true, 1204)
"""


def worked_example(database: Database, tenant_id: int, launched_at: datetime) -> LedgerRun:
    """Make the mailing for a tenant that has no customers yet, and attribute its receipts."""
    run = add_run(database, tenant_id, launched_at=launched_at, control_share=7)
    values = {"t": tenant_id, "r": run.run_id, "d": run.launched_on, "at": launched_at}
    with database.tenant_connection(tenant_id) as connection:
        for sql in (_CUSTOMERS, _NUMBERED, _MESSAGES, _RECEIPTS, _HITS):
            connection.execute(text(sql), {k: v for k, v in values.items() if f":{k}" in sql})
    attribute(database, tenant_id, run.run_id)
    return run
