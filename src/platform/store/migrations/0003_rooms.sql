-- Every workspace: rooms with their policies; voice that an admin switched off; what a sealed sign-in exported.
CREATE TABLE rooms (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    name         TEXT NOT NULL UNIQUE,
    voice        INTEGER NOT NULL CHECK (voice IN (0, 1)),
    screen_share INTEGER NOT NULL CHECK (screen_share IN (0, 1)),
    sensors      INTEGER NOT NULL CHECK (sensors IN (0, 1)),
    capacity     INTEGER NOT NULL CHECK (capacity BETWEEN 1 AND 500),
    entry        TEXT NOT NULL CHECK (entry IN ('guest', 'user', 'power_user', 'admin')),
    lobby        TEXT NOT NULL CHECK (lobby IN ('off', 'guests', 'everyone')),
    voices       INTEGER NOT NULL CHECK (voices BETWEEN 0 AND 500),
    rotation     INTEGER NOT NULL CHECK (rotation BETWEEN 5 AND 300),
    created_at   INTEGER NOT NULL
) STRICT;

ALTER TABLE accounts ADD COLUMN voice_off INTEGER NOT NULL DEFAULT 0 CHECK (voice_off IN (0, 1));

-- A sealed field; none when the credential came in clear.
ALTER TABLE sessions ADD COLUMN exported BLOB;
