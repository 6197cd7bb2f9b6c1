-- Messages, the work of delivering them, and what is remembered of both. See delivery.md 2 and 3.

-- Arrival order. CACHE 1: a cached block would let an older message take a younger number.
create sequence message_seq cache 1;

create table message (
    seq        bigint      not null,
    mesh       bigint      not null,
    message_id uuid        not null,
    -- The sending session's mailbox, and the key that it sealed with.
    sender     bigint      not null,
    sender_key text        not null,
    target     text        not null check (length(target) between 1 and 129),
    priority   smallint    not null check (priority between 0 and 2),
    nonce      text        not null check (length(nonce) <= 128),
    ciphertext text        not null check (octet_length(ciphertext) <= 1048576),
    kind       smallint    not null check (kind in (0, 1)),
    subtype    text,
    at         timestamptz not null,
    xid        xid8        not null
) partition by range (at);
comment on column message.priority is '0 now, 1 next, 2 low';
comment on column message.kind is '0 direct, 1 multicast';
-- Sealed bodies do not compress.
alter table message alter column ciphertext set storage external;
create index message_seq_key on message (seq);
create index message_message_id on message (message_id);
create index message_log on message (mesh, xid) where kind = 1;

-- Bodies that deliveries still name when their day is dropped.
create table message_held (like message including defaults including constraints including storage);
alter table message_held add primary key (seq);
create index message_held_message_id on message_held (message_id);

-- One row per recipient of a direct message, from storing until it is settled.
create table delivery (
    seq       bigint      not null,
    recipient bigint      not null,
    mesh      bigint      not null,
    -- The node that was told; 0: nobody, or one that is not alive.
    node      integer     not null default 0,
    -- Member mail: the session that it is offered to.
    offered   bigint,
    at        timestamptz not null,
    class     smallint    not null check (class in (0, 1)),
    bytes     integer     not null,
    -- Of the transaction that last changed `node` or `offered`.
    xid       xid8        not null,
    primary key (seq, recipient)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.2);
comment on column delivery.class is '0 now, 1 next and low';
create index delivery_page on delivery (recipient, class, seq);
create index delivery_look on delivery (node, xid);

-- What repeats are recognised by, for senders whose ids are random: two tables that take turns.
create table send_key_0 (
    message_id uuid        primary key,
    body_hash  bytea       not null,
    seq        bigint      not null,
    at         timestamptz not null
) with (autovacuum_enabled = false);
create table send_key_1 (like send_key_0 including all) with (autovacuum_enabled = false);
create table send_key_turn (
    only_row boolean     primary key default true check (only_row),
    current  smallint    not null check (current in (0, 1)),
    since    timestamptz not null
);
insert into send_key_turn (current, since) values (0, now());

-- What became of deliveries: one row per settled batch, pairwise.
create table receipt (
    seqs       bigint[]    not null,
    recipients bigint[]    not null,
    seq_min    bigint      not null,
    seq_max    bigint      not null,
    outcome    smallint    not null check (outcome between 0 and 2),
    at         timestamptz not null,
    check (cardinality(seqs) = cardinality(recipients))
) partition by range (at);
comment on column receipt.outcome is '0 received, 1 expired, 2 dropped';
create index receipt_seqs on receipt using gist (int8range(seq_min, seq_max, '[]'));
