-- When the session was first seen: what was multicast before it was not for it.
alter table session add column since timestamptz not null default now();
