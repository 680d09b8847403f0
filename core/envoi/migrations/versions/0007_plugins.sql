-- What the platform of plugins needs: every column has a default, no row is read. Grants and
-- policies are in 0007_plugins.py.

-- Which SQL files of modules were run, and the tables that each of them made.
CREATE TABLE plugin_migration (
    plugin text NOT NULL,
    name text NOT NULL,
    tables jsonb DEFAULT '[]' NOT NULL,
    applied_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_plugin_migration PRIMARY KEY (plugin, name)
);
