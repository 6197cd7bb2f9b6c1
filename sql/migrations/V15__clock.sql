-- Simulation clocks: one a mesh. A clock shows `sim_base` and a minute for every tick.

create table clock (
    mesh        bigint         primary key references mesh,
    -- Whose duty it is.
    bucket      integer        not null generated always as ((mesh % 64)::integer) stored,
    speed       float8         not null check (speed between 1 and 100),
    tick        bigint         not null default 0 check (tick >= 0),
    sim_base    timestamptz(3) not null,
    -- When it was first set.
    started_at  timestamptz(3) not null,
    paused      boolean        not null default false,
    -- Ticks are planned from here, so that they do not drift: number `anchor_tick` was at `anchor_at`.
    anchor_tick bigint         not null default 0,
    anchor_at   timestamptz    not null,
    -- When the next tick is due; of one that is paused it says nothing.
    due_at      timestamptz    not null,
    check (anchor_tick between 0 and tick)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
create index clock_due on clock (due_at) where not paused;
