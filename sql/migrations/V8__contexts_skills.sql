-- What peers share of their work: a context of each member, and skills.

create table context (
    mesh         bigint      not null references mesh,
    member       bigint      not null references member,
    id           text        not null unique check (length(id) between 1 and 64),
    summary      text        not null check (octet_length(summary) <= 16384),
    files_read   text[]      not null default '{}',
    key_findings text[]      not null default '{}',
    tags         text[]      not null default '{}',
    version      bigint      not null default 1,
    -- The session that shared it, which is not told.
    writer       bigint      not null default 0,
    updated_at   timestamptz not null,
    -- Of the last change, for looks.
    xid          xid8        not null,
    primary key (mesh, member)
);
create index on context (member);
create index context_changes on context (mesh, xid);

create table skill (
    mesh         bigint      not null references mesh,
    name         text collate "C" not null check (octet_length(name) between 1 and 128),
    description  text        not null check (octet_length(description) <= 4096),
    instructions text        not null check (octet_length(instructions) <= 262144),
    tags         text[]      not null default '{}',
    -- Who took the name: only that member and admins change or remove it.
    author       bigint      not null references member,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    primary key (mesh, name)
);
create index on skill (author);
