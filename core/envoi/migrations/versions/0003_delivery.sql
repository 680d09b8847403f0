-- Delivery at scale and working with others: columns; every one has a default, no row is read.

ALTER TABLE mailing
    ADD COLUMN approval JSONB DEFAULT '{}' NOT NULL;

ALTER TABLE target_audience
    ADD COLUMN pending JSONB DEFAULT '[]' NOT NULL;

ALTER TABLE tenant_settings
    ADD COLUMN approval_from INTEGER DEFAULT '50000' NOT NULL,
    ADD COLUMN approval_always BOOLEAN DEFAULT false NOT NULL;
