-- Meshes, their members, and the invites that make members.

-- Sessions and members share one id space of mailboxes, so that a delivery has one recipient column.
create sequence mailbox_id;

create table mesh (
    -- The mesh in tables that are written for every message; `id` is what the wire says.
    no         bigint generated always as identity primary key,
    id         text        not null unique check (length(id) between 1 and 64),
    slug       text        not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name       text        not null check (length(name) between 1 and 128),
    owner_key  text        not null check (owner_key ~ '^[0-9a-f]{64}$'),
    -- Sockets attached at once; null: the deployment's default.
    peers_max  bigint      check (peers_max > 0),
    -- Unread mail as the sweep last counted it, in bytes.
    held_bytes bigint      not null default 0,
    created_at timestamptz not null default now(),
    archived_at timestamptz
);

create table member (
    mailbox      bigint      primary key default nextval('mailbox_id'),
    id           text        not null unique check (length(id) between 1 and 64),
    mesh         bigint      not null references mesh,
    pubkey       text        not null check (pubkey ~ '^[0-9a-f]{64}$'),
    display_name text        not null check (length(display_name) between 1 and 128),
    role         text        not null check (role in ('owner', 'admin', 'member')),
    joined_at    timestamptz not null default now(),
    revoked_at   timestamptz,
    unique (mesh, pubkey)
);

create table invite (
    id         text        primary key check (length(id) between 1 and 64),
    mesh       bigint      not null references mesh,
    -- Only the hash is kept: whoever reads this table cannot join with it.
    token_hash bytea       not null unique check (length(token_hash) = 32),
    role       text        not null check (role in ('admin', 'member')),
    max_uses   integer     not null check (max_uses between 1 and 10000),
    used_count integer     not null default 0,
    created_by text        not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    check (used_count between 0 and max_uses)
);
create index on invite (mesh);

-- Nonces of signed requests and signatures of hellos, so that each is good once on any edge.
-- Unlogged: after a crash the clock windows alone protect, for two minutes.
create unlogged table nonce_seen (
    nonce bytea       primary key,
    at    timestamptz not null default now()
);
create index on nonce_seen (at);
