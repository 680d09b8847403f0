-- What cascades of channels need: every column has a default, no row is read. Grants and
-- policies are in 0005_cascade.py.

ALTER TABLE link ADD COLUMN step SMALLINT DEFAULT '1' NOT NULL;
ALTER TABLE link DROP CONSTRAINT pk_link;
ALTER TABLE link ADD CONSTRAINT pk_link PRIMARY KEY (tenant_id, run_id, step, variant, number);

ALTER TABLE mailing ADD COLUMN cascade JSONB DEFAULT '[]' NOT NULL;

ALTER TABLE message ADD COLUMN follows BOOLEAN DEFAULT 'false' NOT NULL;

ALTER TABLE run_block ADD COLUMN step SMALLINT DEFAULT '1' NOT NULL;
ALTER TABLE run_block ADD COLUMN moves_at TIMESTAMP WITH TIME ZONE;
CREATE INDEX ix_run_block_tenant_id_run_id_moves_at ON run_block (tenant_id, run_id, moves_at) WHERE moves_at IS NOT NULL;

ALTER TABLE variant ADD COLUMN steps JSONB DEFAULT '[]' NOT NULL;
