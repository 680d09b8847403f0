-- Groups of promo codes and the codes. Row-level security and grants are put on by Envoi.
CREATE TABLE promo_code_group (
    tenant_id integer NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    expires_on date,
    created_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    CONSTRAINT pk_promo_code_group PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX ix_promo_code_group_name ON promo_code_group (tenant_id, name)
    WHERE deleted_at IS NULL;

-- A code that was issued names the run and the customer it was issued for, for ever.
CREATE TABLE promo_code (
    tenant_id integer NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    group_id bigint NOT NULL,
    code text NOT NULL,
    blocked boolean DEFAULT false NOT NULL,
    run_id bigint,
    customer_id bigint,
    issued_at timestamptz,
    sent_at timestamptz,
    CONSTRAINT pk_promo_code PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_promo_code_group FOREIGN KEY (tenant_id, group_id)
        REFERENCES promo_code_group (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_promo_code_code UNIQUE (tenant_id, code)
);
CREATE UNIQUE INDEX ix_promo_code_issued
    ON promo_code (tenant_id, group_id, run_id, customer_id) WHERE run_id IS NOT NULL;
CREATE INDEX ix_promo_code_free ON promo_code (tenant_id, group_id, id)
    WHERE run_id IS NULL AND NOT blocked;
CREATE INDEX ix_promo_code_customer ON promo_code (tenant_id, customer_id)
    WHERE customer_id IS NOT NULL;
