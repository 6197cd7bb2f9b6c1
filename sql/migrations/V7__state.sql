-- Shared state: the keys of a mesh and what they hold.

create table state (
    mesh       bigint      not null references mesh,
    -- In the order of its bytes, wherever the database was made.
    key        text collate "C" not null check (octet_length(key) between 1 and 256),
    -- JSON, as the text that was sent; null: the key was removed, and its version goes on.
    value      text        check (octet_length(value) <= 262144),
    -- Grows with every change, also over a removal.
    version    bigint      not null check (version > 0),
    -- The session that is not told, since it said it; 0: none.
    writer     bigint      not null default 0,
    updated_by text        not null,
    updated_at timestamptz not null,
    expires_at timestamptz,
    -- Of the last change, for looks.
    xid        xid8        not null,
    primary key (mesh, key)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
create index state_changes on state (mesh, xid);
create index state_expiry on state (expires_at) where expires_at is not null;
create index state_removed on state (updated_at) where value is null;

-- Keys that were forgotten had versions up to this one; a new key begins above it, so that no
-- version of a key ever stands for two values.
alter table mesh add column state_floor bigint not null default 0;
