-- Workspace `system` alone: tokens of programs that watch the appliance. Only their hashes are here.
CREATE TABLE api_tokens (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    name       TEXT NOT NULL,
    scope      TEXT NOT NULL CHECK (scope IN ('metrics')),
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
