-- Workspace `system` alone: the registry of workspaces, settings, certificates.
CREATE TABLE workspaces (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    name          TEXT NOT NULL UNIQUE,
    plain_sign_in INTEGER NOT NULL DEFAULT 0 CHECK (plain_sign_in IN (0, 1)),
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Certificates with their private keys; a key is a sealed field, its row the purpose as text.
CREATE TABLE certificates (
    purpose    TEXT PRIMARY KEY,
    chain      BLOB NOT NULL,
    key        BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
