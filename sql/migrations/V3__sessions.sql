-- Sessions: every session key seen in the last thirty days, and where each is attached now.

create table session (
    mailbox       bigint      primary key default nextval('mailbox_id'),
    mesh          bigint      not null references mesh,
    -- The member that first used the key; nobody else may.
    member        bigint      not null references member,
    key           text        not null check (key ~ '^[0-9a-f]{64}$'),
    -- Whether the key ever came with the member's proof; from then on it must.
    proved        boolean     not null default false,
    attach_no     bigint      not null default 0,
    -- What the mesh was last told of it, and when its absence is to be told.
    announced     text        not null default 'gone' check (announced in ('here', 'gone')),
    depart_at     timestamptz,
    display_name  text        not null check (length(display_name) between 1 and 128),
    session_id    text        not null,
    pid           bigint      not null,
    cwd           text        not null,
    hostname      text,
    peer_type     text,
    channel       text,
    model         text,
    status        text        not null default 'idle' check (status in ('idle', 'working', 'dnd')),
    status_source text        not null default 'jsonl'
                  check (status_source in ('hook', 'manual', 'jsonl')),
    status_at     timestamptz not null default now(),
    summary       text,
    groups        jsonb       not null default '[]',
    profile       jsonb       not null default '{}',
    visible       boolean     not null default true,
    -- The counters of this attachment, and the highest totals ever reported.
    stats         jsonb,
    totals        jsonb,
    -- The session's place in the log of multicasts: everything visible before it is settled.
    log_place     xid8        not null default pg_snapshot_xmin(pg_current_snapshot()),
    connected_at  timestamptz not null default now(),
    seen_at       timestamptz not null default now(),
    unique (mesh, key)
);
create index on session (member, seen_at desc);
create index on session (mesh, depart_at) where depart_at is not null;
create index on session (depart_at) where depart_at is not null;
create index on session (seen_at);
create index on session (status_at) where status = 'working' and status_source = 'hook';

-- The attachment of a session to a socket at a node. Written at attaching and detaching only, so
-- that a batch of sends that holds it FOR SHARE waits for nothing else.
create table presence (
    session     bigint      primary key references session on delete cascade,
    mesh        bigint      not null references mesh,
    member      bigint      not null references member,
    node        integer     not null references node,
    attach_no   bigint      not null,
    attached_at timestamptz not null default now(),
    id          text        not null,
    -- Whether it takes its member's mail.
    inbox       boolean     not null default false
);
create index on presence (mesh, node);
create index on presence (node);
create index on presence (member);
-- Where member mail may go: asked for every recipient of a batch.
create index on presence (member) where inbox;

-- Statuses that a hook reported before its session said hello.
create unlogged table hook_pending (
    pid    bigint      not null,
    cwd    text        not null,
    status text        not null check (status in ('idle', 'working', 'dnd')),
    at     timestamptz not null default now(),
    primary key (pid, cwd)
);
