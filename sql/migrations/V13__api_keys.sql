-- API keys: peers without a socket, with no more than the capabilities they were given.

create table api_key (
    id           text        primary key check (length(id) between 1 and 64),
    mesh         bigint      not null references mesh,
    name         text        not null check (length(name) between 1 and 128),
    -- Only the hash is kept: whoever reads this table cannot ask with it.
    secret_hash  bytea       not null unique check (length(secret_hash) = 32),
    -- What messages to it are sealed for; its holder alone has the other half.
    pubkey       text        not null check (pubkey ~ '^[0-9a-f]{64}$'),
    -- A member of its own, with a key that nobody has: it never says hello and signs nothing.
    member       bigint      not null references member,
    capabilities text[]      not null check (cardinality(capabilities) between 1 and 16),
    created_by   text        not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    used_at      timestamptz,
    unique (mesh, pubkey)
);
create index on api_key (member);

-- Which messages a key sent and received; their bodies are where every message's is.
create table api_message (
    key     text        not null references api_key,
    seq     bigint      not null,
    mesh    bigint      not null,
    at      timestamptz not null,
    is_sent boolean     not null,
    primary key (key, seq, is_sent)
);
create index on api_message (at);
