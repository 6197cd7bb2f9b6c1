-- Watches: addresses on the web that a mesh looks at now and then for a member.

create table watch (
    mesh          bigint           not null references mesh,
    id            text             not null check (id ~ '^w_[0-9a-f]{8}$'),
    -- The duty that it belongs to.
    bucket        integer          not null generated always as ((mesh % 64)::integer) stored,
    -- The member that made it, and that is told.
    member        bigint           not null references member,
    url           text             not null check (octet_length(url) between 1 and 2048),
    mode          text             not null check (mode in ('hash', 'json', 'status')),
    extract       text             check (octet_length(extract) <= 512),
    interval_s    integer          not null check (interval_s between 5 and 2592000),
    notify_on     text             not null check (octet_length(notify_on) <= 266),
    -- What it sends, sealed with the deployment key, and the names that may be shown.
    headers       text             check (octet_length(headers) <= 32768),
    header_names  text[]           not null default '{}' check (cardinality(header_names) <= 32),
    label         text             check (octet_length(label) <= 256),
    -- A group's path, of a group that is told too.
    group_path    text             check (octet_length(group_path) <= 128),
    created_at    timestamptz      not null default now(),
    -- Where in its interval it is looked at, from 0 to 1: they are spread out.
    phase         double precision not null check (phase >= 0 and phase < 1),
    -- How many checks were written. A result is written under the number that it was found for.
    check_no      bigint           not null default 0,
    next_at       timestamptz      not null default now(),
    checked_at    timestamptz,
    -- The last value, and its hash: null before the first.
    value         text             check (octet_length(value) <= 4096),
    hash          text             check (hash ~ '^[0-9a-f]{16}$'),
    http_status   integer,
    error         text             check (octet_length(error) <= 256),
    -- How many checks failed in a row.
    failures      integer          not null default 0 check (failures >= 0),
    -- What the server's next answer may be spared by.
    etag          text             check (octet_length(etag) <= 1024),
    last_modified text             check (octet_length(last_modified) <= 256),
    primary key (mesh, id),
    check ((value is null) = (hash is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
create index watch_due on watch (bucket, next_at);
create index on watch (member);
