-- Nodes: one row per running edge or worker.

create table node (
    id         integer     generated always as identity primary key,
    kind       text        not null check (kind in ('edge', 'worker')),
    region     text        not null default '',
    -- Where peers reach it, as a socket URL; null for workers.
    url        text,
    -- Grows by one every five seconds while the node lives.
    beat       bigint      not null default 0,
    -- Every backend the node opened: process ids and their start times, pairwise.
    pids       integer[]   not null default '{}',
    starts     timestamptz[] not null default '{}',
    state      text        not null default 'alive'
               check (state in ('alive', 'draining', 'dead', 'fenced', 'swept')),
    started_at timestamptz not null default now(),
    dead_at    timestamptz,
    check (cardinality(pids) = cardinality(starts))
);
create index on node (state);
