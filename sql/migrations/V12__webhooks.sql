-- Webhooks: addresses at which programs outside a mesh say something into it.

create table webhook (
    id         text        primary key check (length(id) between 1 and 64),
    mesh       bigint      not null references mesh,
    name       text        not null check (octet_length(name) between 1 and 128),
    -- SHA-256 of the last part of its address.
    token_hash bytea       not null unique check (length(token_hash) = 32),
    -- What the address ends with, and for signed ones the key: sealed with the deployment key.
    sealed     text        not null check (octet_length(sealed) <= 512),
    -- Whether each post must be signed.
    signed     boolean     not null,
    -- A key, `@group` or `*`; null: an event for everybody who is attached.
    target     text        check (length(target) between 1 and 129),
    -- The member that made it.
    created_by bigint      not null references member,
    created_at timestamptz not null default now(),
    unique (mesh, name)
);
create index on webhook (created_by);

-- Ids of signed posts that were taken, so that each is taken once, on whichever edge.
create table webhook_seen (
    webhook text        not null references webhook on delete cascade,
    mesh    bigint      not null,
    -- SHA-256 of the sender's id.
    id_hash bytea       not null check (length(id_hash) = 32),
    at      timestamptz not null default now(),
    primary key (webhook, id_hash)
);
create index on webhook_seen (at);
