-- What edges hand each other for sockets of one another, and streams.

-- Relayed frames that do not fit into a notification. The edge that they are for takes them out;
-- what it does not take is swept. Nothing here outlives a crash, and nothing needs to.
create unlogged table relay_frame (
    id    bigint      generated always as identity primary key,
    mesh  bigint      not null,
    -- The node that takes it.
    node  integer     not null,
    frame text        not null check (octet_length(frame) <= 4194304),
    until timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
-- Files in base64 do not compress.
alter table relay_frame alter column frame set storage external;
create index on relay_frame (until);

-- Streams that were created; publishing needs none.
create table stream (
    id         text        primary key check (length(id) between 1 and 64),
    mesh       bigint      not null references mesh,
    name       text        not null check (octet_length(name) between 1 and 128),
    -- The member's name at that time.
    created_by text        not null check (length(created_by) between 1 and 128),
    created_at timestamptz not null default now(),
    unique (mesh, name)
);

-- Who listens. A subscription belongs to one attachment of a session and is void with it.
create table subscription (
    mesh      bigint not null references mesh,
    stream    text   not null check (octet_length(stream) between 1 and 128),
    session   bigint not null references session on delete cascade,
    attach_no bigint not null,
    primary key (mesh, stream, session)
);
create index on subscription (session);
