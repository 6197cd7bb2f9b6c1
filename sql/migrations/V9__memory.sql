-- Memory: texts that a mesh keeps, and what they are found by.

create table memory (
    id            text        primary key check (length(id) between 1 and 64),
    mesh          bigint      not null references mesh,
    -- Who wrote it: the member, and the session as it was called then.
    member        bigint      not null references member,
    session_key   text        not null,
    session_name  text        not null,
    content       text        not null check (octet_length(content) <= 16384),
    tags          text[]      not null check (cardinality(tags) <= 32),
    -- What it is found by: its words as English reads them, and the groups of three letters of
    -- each. The number of the mesh stands before every one, so that an index holds those of one
    -- mesh together and reads no other's. Both are empty once it is forgotten.
    words         tsvector    not null,
    grams         tsvector    not null,
    remembered_at timestamptz not null default now(),
    forgotten_at  timestamptz,
    forgotten_by  bigint      references member,
    check ((forgotten_at is null) = (forgotten_by is null))
);
-- Only the index reads them; a row without them is short.
alter table memory alter column grams set storage external;
-- Entered at once: a list of what is yet to be entered would be read whole by every search.
create index memory_words on memory using gin (words) with (fastupdate = off);
create index memory_grams on memory using gin (grams) with (fastupdate = off);
-- For words that are in so many that the newest will do.
create index memory_newest on memory (mesh, remembered_at desc, id desc);
create index on memory (member);
create index on memory (forgotten_by) where forgotten_by is not null;

-- How many of a mesh are not forgotten.
create table memory_count (
    mesh bigint primary key references mesh,
    n    bigint not null check (n >= 0)
);
