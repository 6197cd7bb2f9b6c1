-- The audit log: what happened in a mesh, as one chain of hashes that is only appended to.

create table audit (
    mesh       bigint         not null references mesh,
    -- 1, 2, 3 and so on, without a gap.
    no         bigint         not null check (no > 0),
    event_type text           not null check (length(event_type) between 1 and 64),
    -- Who: a member's id, `owner`, `operator` or `system`. The hash covers this, not the name.
    actor_id   text           not null check (length(actor_id) between 1 and 64),
    actor      text           not null check (length(actor) between 1 and 128),
    -- Text: the hash is over these very bytes.
    payload    text           not null check (octet_length(payload) <= 32768),
    created_at timestamptz(3) not null,
    hash       text           not null check (hash ~ '^[0-9a-f]{64}$'),
    primary key (mesh, no)
);
create index audit_event on audit (mesh, event_type, no);

-- The end of each chain. Whoever appends holds the row.
create table audit_head (
    mesh bigint primary key references mesh,
    no   bigint not null check (no >= 0),
    hash text   not null
);

-- How many entries of each kind a chain has.
create table audit_count (
    mesh       bigint not null references mesh,
    event_type text   not null,
    n          bigint not null check (n > 0),
    primary key (mesh, event_type)
);

create function audit_refuse() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is only appended to' using errcode = 'restrict_violation';
end $$;
create trigger audit_append_only before update or delete on audit
    for each row execute function audit_refuse();
create trigger audit_not_emptied before truncate on audit
    for each statement execute function audit_refuse();
create trigger audit_head_forward before update on audit_head
    for each row when (new.no <= old.no or new.mesh <> old.mesh) execute function audit_refuse();
create trigger audit_head_kept before delete on audit_head
    for each row execute function audit_refuse();
create trigger audit_head_not_emptied before truncate on audit_head
    for each statement execute function audit_refuse();

-- What has happened and is not in the chain yet: written in the transaction of the thing itself.
create table audit_intake (
    mesh       bigint         not null,
    id         bigint         generated always as identity,
    event_type text           not null check (length(event_type) between 1 and 64),
    actor_id   text           not null check (length(actor_id) between 1 and 64),
    actor      text           not null check (length(actor) between 1 and 128),
    payload    text           not null check (octet_length(payload) <= 32768),
    at         timestamptz(3) not null default now(),
    primary key (mesh, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

-- How far messages have been audited. They are found by their numbers and told apart by their
-- transactions: the order of numbers is not that of commits.
create table audit_place (
    only_row boolean     primary key default true check (only_row),
    -- Messages of transactions before this one are in the intake or in a chain.
    done     xid8        not null,
    -- The cut at work: messages of transactions from `done` to before this one, whose numbers are
    -- above `seq_at` and at most `seq_end`; they are not much older than `since`.
    cut      xid8        not null,
    seq_at   bigint      not null,
    seq_end  bigint      not null,
    since    timestamptz not null,
    -- What transactions from `cut` on store has numbers above this, and is not older.
    low_seq  bigint      not null,
    low_at   timestamptz not null,
    -- What transactions after this one store has numbers above this, and is not older.
    mark     xid8        not null,
    mark_seq bigint      not null,
    mark_at  timestamptz not null
);
-- What was stored before is not audited. What is being stored at this moment is, and its numbers are
-- among the last million.
insert into audit_place (done, cut, seq_at, seq_end, since, low_seq, low_at, mark, mark_seq, mark_at)
select pg_snapshot_xmin(s), pg_snapshot_xmin(s), m.seq, m.seq, now(), m.seq, now(),
       pg_current_xact_id(), m.seq, now()
  from pg_current_snapshot() s,
       (select greatest(coalesce(max(seq), 0) - 1000000, 0) as seq from message) m;
