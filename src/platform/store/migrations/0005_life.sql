-- Workspace `system` alone: where each workspace is in its life, and the names it had. How people sign in is its own
-- policy from now on; what was allowed here before is refused until its admins allow it again.
ALTER TABLE workspaces DROP COLUMN plain_sign_in;
ALTER TABLE workspaces ADD COLUMN trial_ends_at INTEGER;
ALTER TABLE workspaces ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0 CHECK (suspended IN (0, 1));
ALTER TABLE workspaces ADD COLUMN purge_at INTEGER;
ALTER TABLE workspaces ADD COLUMN seats INTEGER CHECK (seats >= 1);
ALTER TABLE workspaces ADD COLUMN residency TEXT NOT NULL DEFAULT '';

CREATE TABLE forwards (
    name      TEXT PRIMARY KEY,
    workspace BLOB NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    until     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
