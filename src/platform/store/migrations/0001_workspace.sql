-- Every workspace, `system` too: whose file this is, people, devices, audit.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id                  BLOB PRIMARY KEY CHECK (length(id) = 16),
    user_name           TEXT NOT NULL UNIQUE,
    skeleton            TEXT NOT NULL UNIQUE,
    display_name        TEXT NOT NULL,
    role                TEXT NOT NULL CHECK (role IN ('guest', 'user', 'power_user', 'admin')),
    status              TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
    password_hash       BLOB NOT NULL,
    password_changed_at INTEGER NOT NULL,
    created_at          INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    account       BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    device_name   TEXT NOT NULL,
    carrier       TEXT NOT NULL CHECK (carrier IN ('token', 'cookie')),
    current_hash  BLOB NOT NULL CHECK (length(current_hash) = 32),
    previous_hash BLOB CHECK (length(previous_hash) = 32),
    created_at    INTEGER NOT NULL,
    refreshed_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_account ON sessions (account);

-- Hashes of refresh tokens that were used up, the newest thousand of a session: presenting one again ends it.
CREATE TABLE spent_tokens (
    number  INTEGER PRIMARY KEY,
    session BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX spent_tokens_by_session ON spent_tokens (session, hash);

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    record   BLOB NOT NULL,
    hash     BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
