-- Every workspace: permissions that were given to an account by hand, their names in alphabetical order and a space between two.
ALTER TABLE accounts ADD COLUMN by_hand TEXT NOT NULL DEFAULT '';
