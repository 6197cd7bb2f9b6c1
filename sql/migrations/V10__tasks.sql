-- Tasks: pieces of work that the peers of a mesh share.

create table task (
    id              text        primary key check (length(id) between 1 and 64),
    mesh            bigint      not null references mesh,
    title           text        not null check (octet_length(title) <= 1024),
    assignee        text        check (octet_length(assignee) <= 512),
    priority        text        not null check (octet_length(priority) <= 64),
    urgency         smallint    not null generated always as (
                        case priority when 'urgent' then 0 when 'high' then 1 when 'low' then 3
                                      else 2 end) stored,
    tags            text[]      not null check (cardinality(tags) <= 32),
    status          text        not null default 'open'
                    check (status in ('open', 'claimed', 'done')),
    created_by      bigint      not null references member,
    created_at      timestamptz not null default now(),
    -- How many of the tasks that it depends on are not done.
    waits_for       bigint      not null default 0 check (waits_for >= 0),
    claims          bigint      not null default 0,
    claimed_by      bigint      references member,
    -- The key of the session that holds it; null: its member does.
    claimed_session text,
    claimed_at      timestamptz,
    -- Only of a lease.
    leased_until    timestamptz,
    completed_by    bigint      references member,
    completed_at    timestamptz,
    result          text        check (octet_length(result) <= 65536),
    check (status <> 'claimed' or claimed_by is not null),
    check ((status = 'done') = (completed_at is not null)),
    check (leased_until is null or status = 'claimed')
);
create index task_newest on task (mesh, created_at desc, id desc);
create index task_status on task (mesh, status, created_at desc, id desc);
create index task_queue on task (mesh, urgency, created_at, id)
    where status = 'open' and waits_for = 0;
create index task_leases on task (leased_until) where leased_until is not null;
create index on task (created_by);
create index on task (claimed_by) where claimed_by is not null;
create index on task (completed_by) where completed_by is not null;

-- What a task waits for, or waited. Written with the task, and never changed.
create table task_dependency (
    mesh       bigint not null references mesh,
    task       text   not null references task on delete cascade,
    depends_on text   not null references task on delete cascade,
    primary key (task, depends_on)
);
create index on task_dependency (depends_on);
create index on task_dependency (mesh);

-- How many tasks a mesh has.
create table task_count (
    mesh bigint primary key references mesh,
    n    bigint not null check (n >= 0)
);
