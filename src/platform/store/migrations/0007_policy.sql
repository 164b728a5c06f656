-- Every workspace: what it permits (one row), the agreements that were accepted for it, what two persons decide together.
CREATE TABLE policy (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    voice           INTEGER NOT NULL DEFAULT 1 CHECK (voice IN (0, 1)),
    screen_share    INTEGER NOT NULL DEFAULT 1 CHECK (screen_share IN (0, 1)),
    guests          INTEGER NOT NULL DEFAULT 1 CHECK (guests IN (0, 1)),
    plain_sign_in   INTEGER NOT NULL DEFAULT 0 CHECK (plain_sign_in IN (0, 1)),
    single_device   INTEGER NOT NULL DEFAULT 0 CHECK (single_device IN (0, 1)),
    idle_hours      INTEGER NOT NULL DEFAULT 12 CHECK (idle_hours BETWEEN 1 AND 168),
    session_days    INTEGER NOT NULL DEFAULT 30 CHECK (session_days BETWEEN 1 AND 90),
    persistent_days INTEGER NOT NULL DEFAULT 30 CHECK (persistent_days BETWEEN 0 AND 90)
) STRICT;
INSERT INTO policy (id) VALUES (1);

-- The whole text, so that what was accepted can be shown when there is a newer one.
CREATE TABLE agreements (
    number      INTEGER PRIMARY KEY,
    sha256      BLOB NOT NULL CHECK (length(sha256) = 32),
    text        TEXT NOT NULL,
    person      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    accepted_at INTEGER NOT NULL
) STRICT;

CREATE TABLE approvals (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    deed         TEXT NOT NULL,
    target       BLOB NOT NULL CHECK (length(target) = 16),
    reason       TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    verdict      TEXT CHECK (verdict IN ('approved', 'rejected')),
    decided_by   TEXT,
    decided_at   INTEGER,
    used_by      TEXT,
    used_at      INTEGER
) STRICT;

-- Every role of an account, the lowest first and a space between two; `role` is the highest of them.
ALTER TABLE accounts ADD COLUMN roles TEXT NOT NULL DEFAULT '';
UPDATE accounts SET roles = role;

-- When a used refresh token of the account was presented again; until its password is set anew.
ALTER TABLE accounts ADD COLUMN replayed_at INTEGER;

-- How long a session lives is decided when it begins, and shortened when the policy becomes stricter.
ALTER TABLE sessions ADD COLUMN persistent INTEGER NOT NULL DEFAULT 0 CHECK (persistent IN (0, 1));
ALTER TABLE sessions ADD COLUMN idle_millis INTEGER NOT NULL DEFAULT 43200000;
ALTER TABLE sessions ADD COLUMN absolute_millis INTEGER NOT NULL DEFAULT 2592000000;
