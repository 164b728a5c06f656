-- Workspace `system` alone: one row that says whether the appliance is claimed and which setup code holds, and the
-- links by which an operator sets a new password.
CREATE TABLE claim (
    id                  INTEGER PRIMARY KEY CHECK (id = 1),
    state               TEXT NOT NULL CHECK (state IN ('unclaimed', 'claimed')),
    code_hash           BLOB CHECK (length(code_hash) = 32),
    code_expires_at     INTEGER,
    tries_left          INTEGER NOT NULL DEFAULT 0 CHECK (tries_left BETWEEN 0 AND 5),
    claimed_at          INTEGER,
    recovery_public_key BLOB CHECK (length(recovery_public_key) = 32),
    CHECK ((state = 'claimed') = (claimed_at IS NOT NULL))
) STRICT;

INSERT INTO claim (id, state) VALUES (1, 'unclaimed');

-- An appliance that was claimed before there was this table said so in a setting.
UPDATE claim SET state = 'claimed', claimed_at =
    (SELECT CAST(round((julianday(value) - 2440587.5) * 86400000.0) AS INTEGER) FROM settings WHERE key = 'claimed_at')
WHERE EXISTS (SELECT 1 FROM settings WHERE key = 'claimed_at');
DELETE FROM settings WHERE key = 'claimed_at';

CREATE TABLE one_time_links (
    hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
    account    BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    replaced   INTEGER NOT NULL DEFAULT 0 CHECK (replaced IN (0, 1))
) STRICT;
CREATE INDEX one_time_links_by_account ON one_time_links (account);
