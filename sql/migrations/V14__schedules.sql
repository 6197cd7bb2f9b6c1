-- Schedules: messages that are sent later, once or again and again; and what duties report.

create table schedule (
    id           uuid        primary key,
    mesh         bigint      not null references mesh,
    -- Whose duty it is.
    bucket       integer     not null generated always as ((mesh % 64)::integer) stored,
    -- Who made it: the member, and the session with its key.
    member       bigint      not null references member,
    session      bigint      not null,
    session_key  text        not null,
    target       text        not null check (length(target) between 1 and 129),
    -- What the user wrote in place of the key.
    to_name      text        check (octet_length(to_name) <= 512),
    -- As it is pushed: sealed, or base64 of text.
    nonce        text        not null check (length(nonce) <= 128),
    body         text        not null check (octet_length(body) <= 1048576),
    -- The member key that the body is sealed to; null: it is text.
    sealed_to    text        check (sealed_to ~ '^[0-9a-f]{64}$'),
    subtype      text        check (subtype in ('reminder')),
    priority     smallint    not null check (priority between 0 and 2),
    cron         text        check (octet_length(cron) between 1 and 256),
    tz           text        check (octet_length(tz) between 1 and 64),
    clock        text        not null check (clock in ('real', 'sim')),
    missed       text        not null check (missed in ('skip', 'once', 'all')),
    overlap      text        not null check (overlap in ('allow', 'skip')),
    jitter_s     integer     not null check (jitter_s between 0 and 3600),
    state        text        not null default 'active'
                 check (state in ('active', 'paused', 'done')),
    -- The slot that is next, or was the last, and when it is served; both by its clock.
    slot         timestamptz not null,
    serve_at     timestamptz not null,
    -- When it was asked to fire beside its slots.
    run_at       timestamptz,
    -- When a worker has something to do: by the real clock, and by the mesh's.
    due_at       timestamptz generated always as (
                     case when clock = 'real' and state = 'active' then least(serve_at, run_at)
                          else run_at end) stored,
    sim_due_at   timestamptz generated always as (
                     case when clock = 'sim' and state = 'active' then serve_at end) stored,
    fired_count  bigint      not null default 0,
    -- How many slots were logged.
    n_logged     bigint      not null default 0,
    -- The message of the last fire.
    last_seq     bigint,
    created_at   timestamptz not null default now(),
    done_at      timestamptz,
    check ((state = 'done') = (done_at is not null)),
    check (state <> 'done' or run_at is null)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
-- Sealed bodies do not compress.
alter table schedule alter column body set storage external;
create index schedule_due on schedule (bucket, due_at) where due_at is not null;
create index schedule_sim_due on schedule (mesh, sim_due_at) where sim_due_at is not null;
create index schedule_mesh on schedule (mesh) where state <> 'done';
create index schedule_member on schedule (member, state);
create index schedule_done on schedule (done_at) where done_at is not null;
create index schedule_of_mesh on schedule (mesh);

-- What came of the last slots of each.
create table schedule_fire (
    schedule   uuid        not null references schedule on delete cascade,
    mesh       bigint      not null,
    n          bigint      not null,
    slot       timestamptz not null,
    at         timestamptz not null,
    late_ms    bigint      not null,
    outcome    text        not null
               check (outcome in ('fired', 'overlapped', 'missed', 'failed')),
    message_id uuid,
    detail     text        check (octet_length(detail) <= 1024),
    primary key (schedule, n)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

-- What each worker holds of each kind of duty and did, as it last said.
create unlogged table duty_report (
    node        integer     not null references node on delete cascade,
    kind        text        not null check (octet_length(kind) between 1 and 16),
    n_buckets   integer     not null,
    n_done      bigint      not null,
    late_ms_max bigint      not null,
    late_ms_p99 bigint      not null,
    at          timestamptz not null,
    primary key (node, kind)
);
