-- What the migrations come to, for readers. Written by a test; nobody edits it by hand.

table api_key
    id text not null
    mesh bigint not null
    name text not null
    secret_hash bytea not null
    pubkey text not null
    member bigint not null
    capabilities text[] not null
    created_by text not null
    created_at timestamp with time zone not null default now()
    expires_at timestamp with time zone
    revoked_at timestamp with time zone
    used_at timestamp with time zone
    CHECK (((cardinality(capabilities) >= 1) AND (cardinality(capabilities) <= 16)))
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK (((length(name) >= 1) AND (length(name) <= 128)))
    CHECK ((length(secret_hash) = 32))
    CHECK ((pubkey ~ '^[0-9a-f]{64}$'::text))
    FOREIGN KEY (member) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (id)
    UNIQUE (mesh, pubkey)
    UNIQUE (secret_hash)
    CREATE INDEX api_key_member_idx ON public.api_key USING btree (member)
    CREATE UNIQUE INDEX api_key_mesh_pubkey_key ON public.api_key USING btree (mesh, pubkey)
    CREATE UNIQUE INDEX api_key_secret_hash_key ON public.api_key USING btree (secret_hash)

table api_message
    key text not null
    seq bigint not null
    mesh bigint not null
    at timestamp with time zone not null
    is_sent boolean not null
    FOREIGN KEY (key) REFERENCES api_key(id)
    PRIMARY KEY (key, seq, is_sent)
    CREATE INDEX api_message_at_idx ON public.api_message USING btree (at)

table audit
    mesh bigint not null
    no bigint not null
    event_type text not null
    actor_id text not null
    actor text not null
    payload text not null
    created_at timestamp(3) with time zone not null
    hash text not null
    CHECK (((length(actor) >= 1) AND (length(actor) <= 128)))
    CHECK (((length(actor_id) >= 1) AND (length(actor_id) <= 64)))
    CHECK (((length(event_type) >= 1) AND (length(event_type) <= 64)))
    CHECK ((hash ~ '^[0-9a-f]{64}$'::text))
    CHECK ((no > 0))
    CHECK ((octet_length(payload) <= 32768))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh, no)
    CREATE INDEX audit_event ON public.audit USING btree (mesh, event_type, no)

table audit_count
    mesh bigint not null
    event_type text not null
    n bigint not null
    CHECK ((n > 0))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh, event_type)

table audit_head
    mesh bigint not null
    no bigint not null
    hash text not null
    CHECK ((no >= 0))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh)

table audit_intake with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0
    mesh bigint not null
    id bigint not null generated always as identity
    event_type text not null
    actor_id text not null
    actor text not null
    payload text not null
    at timestamp(3) with time zone not null default now()
    CHECK (((length(actor) >= 1) AND (length(actor) <= 128)))
    CHECK (((length(actor_id) >= 1) AND (length(actor_id) <= 64)))
    CHECK (((length(event_type) >= 1) AND (length(event_type) <= 64)))
    CHECK ((octet_length(payload) <= 32768))
    PRIMARY KEY (mesh, id)

table audit_place
    only_row boolean not null default true
    done xid8 not null
    cut xid8 not null
    seq_at bigint not null
    seq_end bigint not null
    since timestamp with time zone not null
    low_seq bigint not null
    low_at timestamp with time zone not null
    mark xid8 not null
    mark_seq bigint not null
    mark_at timestamp with time zone not null
    CHECK (only_row)
    PRIMARY KEY (only_row)

table clock with fillfactor=50, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0
    mesh bigint not null
    bucket integer not null default ((mesh % (64)::bigint))::integer
    speed double precision not null
    tick bigint not null default 0
    sim_base timestamp(3) with time zone not null
    started_at timestamp(3) with time zone not null
    paused boolean not null default false
    anchor_tick bigint not null default 0
    anchor_at timestamp with time zone not null
    due_at timestamp with time zone not null
    CHECK (((anchor_tick >= 0) AND (anchor_tick <= tick)))
    CHECK (((speed >= (1)::double precision) AND (speed <= (100)::double precision)))
    CHECK ((tick >= 0))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh)
    CREATE INDEX clock_due ON public.clock USING btree (due_at) WHERE (NOT paused)

table context
    mesh bigint not null
    member bigint not null
    id text not null
    summary text not null
    files_read text[] not null default '{}'::text[]
    key_findings text[] not null default '{}'::text[]
    tags text[] not null default '{}'::text[]
    version bigint not null default 1
    writer bigint not null default 0
    updated_at timestamp with time zone not null
    xid xid8 not null
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK ((octet_length(summary) <= 16384))
    FOREIGN KEY (member) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh, member)
    UNIQUE (id)
    CREATE INDEX context_changes ON public.context USING btree (mesh, xid)
    CREATE UNIQUE INDEX context_id_key ON public.context USING btree (id)
    CREATE INDEX context_member_idx ON public.context USING btree (member)

table delivery with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0.2
    seq bigint not null
    recipient bigint not null
    mesh bigint not null
    node integer not null default 0
    offered bigint
    at timestamp with time zone not null
    class smallint not null
    bytes integer not null
    xid xid8 not null
    CHECK ((class = ANY (ARRAY[0, 1])))
    PRIMARY KEY (seq, recipient)
    CREATE INDEX delivery_look ON public.delivery USING btree (node, xid)
    CREATE INDEX delivery_page ON public.delivery USING btree (recipient, class, seq)

unlogged table duty_report
    node integer not null
    kind text not null
    n_buckets integer not null
    n_done bigint not null
    late_ms_max bigint not null
    late_ms_p99 bigint not null
    at timestamp with time zone not null
    CHECK (((octet_length(kind) >= 1) AND (octet_length(kind) <= 16)))
    FOREIGN KEY (node) REFERENCES node(id) ON DELETE CASCADE
    PRIMARY KEY (node, kind)

unlogged table hook_pending
    pid bigint not null
    cwd text not null
    status text not null
    at timestamp with time zone not null default now()
    CHECK ((status = ANY (ARRAY['idle'::text, 'working'::text, 'dnd'::text])))
    PRIMARY KEY (pid, cwd)

table invite
    id text not null
    mesh bigint not null
    token_hash bytea not null
    role text not null
    max_uses integer not null
    used_count integer not null default 0
    created_by text not null
    created_at timestamp with time zone not null default now()
    expires_at timestamp with time zone not null
    revoked_at timestamp with time zone
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK (((max_uses >= 1) AND (max_uses <= 10000)))
    CHECK (((used_count >= 0) AND (used_count <= max_uses)))
    CHECK ((length(token_hash) = 32))
    CHECK ((role = ANY (ARRAY['admin'::text, 'member'::text])))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (id)
    UNIQUE (token_hash)
    CREATE INDEX invite_mesh_idx ON public.invite USING btree (mesh)
    CREATE UNIQUE INDEX invite_token_hash_key ON public.invite USING btree (token_hash)

table member
    mailbox bigint not null default nextval('mailbox_id'::regclass)
    id text not null
    mesh bigint not null
    pubkey text not null
    display_name text not null
    role text not null
    joined_at timestamp with time zone not null default now()
    revoked_at timestamp with time zone
    CHECK (((length(display_name) >= 1) AND (length(display_name) <= 128)))
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK ((pubkey ~ '^[0-9a-f]{64}$'::text))
    CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text])))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mailbox)
    UNIQUE (id)
    UNIQUE (mesh, pubkey)
    CREATE UNIQUE INDEX member_id_key ON public.member USING btree (id)
    CREATE UNIQUE INDEX member_mesh_pubkey_key ON public.member USING btree (mesh, pubkey)

table memory
    id text not null
    mesh bigint not null
    member bigint not null
    session_key text not null
    session_name text not null
    content text not null
    tags text[] not null
    words tsvector not null
    grams tsvector not null
    remembered_at timestamp with time zone not null default now()
    forgotten_at timestamp with time zone
    forgotten_by bigint
    CHECK (((forgotten_at IS NULL) = (forgotten_by IS NULL)))
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK ((cardinality(tags) <= 32))
    CHECK ((octet_length(content) <= 16384))
    FOREIGN KEY (forgotten_by) REFERENCES member(mailbox)
    FOREIGN KEY (member) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (id)
    CREATE INDEX memory_forgotten_by_idx ON public.memory USING btree (forgotten_by) WHERE (forgotten_by IS NOT NULL)
    CREATE INDEX memory_grams ON public.memory USING gin (grams) WITH (fastupdate=off)
    CREATE INDEX memory_member_idx ON public.memory USING btree (member)
    CREATE INDEX memory_newest ON public.memory USING btree (mesh, remembered_at DESC, id DESC)
    CREATE INDEX memory_words ON public.memory USING gin (words) WITH (fastupdate=off)

table memory_count
    mesh bigint not null
    n bigint not null
    CHECK ((n >= 0))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh)

table mesh
    no bigint not null generated always as identity
    id text not null
    slug text not null
    name text not null
    owner_key text not null
    peers_max bigint
    held_bytes bigint not null default 0
    created_at timestamp with time zone not null default now()
    archived_at timestamp with time zone
    state_floor bigint not null default 0
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK (((length(name) >= 1) AND (length(name) <= 128)))
    CHECK ((owner_key ~ '^[0-9a-f]{64}$'::text))
    CHECK ((peers_max > 0))
    CHECK ((slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'::text))
    PRIMARY KEY (no)
    UNIQUE (id)
    UNIQUE (slug)
    CREATE UNIQUE INDEX mesh_id_key ON public.mesh USING btree (id)
    CREATE UNIQUE INDEX mesh_slug_key ON public.mesh USING btree (slug)

table message partition by RANGE (at)
    seq bigint not null
    mesh bigint not null
    message_id uuid not null
    sender bigint not null
    sender_key text not null
    target text not null
    priority smallint not null
    nonce text not null
    ciphertext text not null
    kind smallint not null
    subtype text
    at timestamp with time zone not null
    xid xid8 not null
    CHECK (((length(target) >= 1) AND (length(target) <= 129)))
    CHECK (((priority >= 0) AND (priority <= 2)))
    CHECK ((kind = ANY (ARRAY[0, 1])))
    CHECK ((length(nonce) <= 128))
    CHECK ((octet_length(ciphertext) <= 1048576))
    CREATE INDEX message_log ON ONLY public.message USING btree (mesh, xid) WHERE (kind = 1)
    CREATE INDEX message_message_id ON ONLY public.message USING btree (message_id)
    CREATE INDEX message_seq_key ON ONLY public.message USING btree (seq)

table message_held
    seq bigint not null
    mesh bigint not null
    message_id uuid not null
    sender bigint not null
    sender_key text not null
    target text not null
    priority smallint not null
    nonce text not null
    ciphertext text not null
    kind smallint not null
    subtype text
    at timestamp with time zone not null
    xid xid8 not null
    CHECK (((length(target) >= 1) AND (length(target) <= 129)))
    CHECK (((priority >= 0) AND (priority <= 2)))
    CHECK ((kind = ANY (ARRAY[0, 1])))
    CHECK ((length(nonce) <= 128))
    CHECK ((octet_length(ciphertext) <= 1048576))
    PRIMARY KEY (seq)
    CREATE INDEX message_held_message_id ON public.message_held USING btree (message_id)

table node
    id integer not null generated always as identity
    kind text not null
    region text not null default ''::text
    url text
    beat bigint not null default 0
    pids integer[] not null default '{}'::integer[]
    starts timestamp with time zone[] not null default '{}'::timestamp with time zone[]
    state text not null default 'alive'::text
    started_at timestamp with time zone not null default now()
    dead_at timestamp with time zone
    CHECK ((cardinality(pids) = cardinality(starts)))
    CHECK ((kind = ANY (ARRAY['edge'::text, 'worker'::text])))
    CHECK ((state = ANY (ARRAY['alive'::text, 'draining'::text, 'dead'::text, 'fenced'::text, 'swept'::text])))
    PRIMARY KEY (id)
    CREATE INDEX node_state_idx ON public.node USING btree (state)

unlogged table nonce_seen
    nonce bytea not null
    at timestamp with time zone not null default now()
    PRIMARY KEY (nonce)
    CREATE INDEX nonce_seen_at_idx ON public.nonce_seen USING btree (at)

table presence
    session bigint not null
    mesh bigint not null
    member bigint not null
    node integer not null
    attach_no bigint not null
    attached_at timestamp with time zone not null default now()
    id text not null
    inbox boolean not null default false
    FOREIGN KEY (member) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    FOREIGN KEY (node) REFERENCES node(id)
    FOREIGN KEY (session) REFERENCES session(mailbox) ON DELETE CASCADE
    PRIMARY KEY (session)
    CREATE INDEX presence_member_idx ON public.presence USING btree (member)
    CREATE INDEX presence_member_idx1 ON public.presence USING btree (member) WHERE inbox
    CREATE INDEX presence_mesh_node_idx ON public.presence USING btree (mesh, node)
    CREATE INDEX presence_node_idx ON public.presence USING btree (node)

table receipt partition by RANGE (at)
    seqs bigint[] not null
    recipients bigint[] not null
    seq_min bigint not null
    seq_max bigint not null
    outcome smallint not null
    at timestamp with time zone not null
    CHECK (((outcome >= 0) AND (outcome <= 2)))
    CHECK ((cardinality(seqs) = cardinality(recipients)))
    CREATE INDEX receipt_seqs ON ONLY public.receipt USING gist (int8range(seq_min, seq_max, '[]'::text))

unlogged table relay_frame with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0
    id bigint not null generated always as identity
    mesh bigint not null
    node integer not null
    frame text not null
    until timestamp with time zone not null
    CHECK ((octet_length(frame) <= 4194304))
    PRIMARY KEY (id)
    CREATE INDEX relay_frame_until_idx ON public.relay_frame USING btree (until)

table schedule with autovacuum_vacuum_scale_factor=0.05, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0
    id uuid not null
    mesh bigint not null
    bucket integer not null default ((mesh % (64)::bigint))::integer
    member bigint not null
    session bigint not null
    session_key text not null
    target text not null
    to_name text
    nonce text not null
    body text not null
    sealed_to text
    subtype text
    priority smallint not null
    cron text
    tz text
    clock text not null
    missed text not null
    overlap text not null
    jitter_s integer not null
    state text not null default 'active'::text
    slot timestamp with time zone not null
    serve_at timestamp with time zone not null
    run_at timestamp with time zone
    due_at timestamp with time zone default 
CASE
    WHEN ((clock = 'real'::text) AND (state = 'active'::text)) THEN LEAST(serve_at, run_at)
    ELSE run_at
END
    sim_due_at timestamp with time zone default 
CASE
    WHEN ((clock = 'sim'::text) AND (state = 'active'::text)) THEN serve_at
    ELSE NULL::timestamp with time zone
END
    fired_count bigint not null default 0
    n_logged bigint not null default 0
    last_seq bigint
    created_at timestamp with time zone not null default now()
    done_at timestamp with time zone
    CHECK (((jitter_s >= 0) AND (jitter_s <= 3600)))
    CHECK (((length(target) >= 1) AND (length(target) <= 129)))
    CHECK (((octet_length(cron) >= 1) AND (octet_length(cron) <= 256)))
    CHECK (((octet_length(tz) >= 1) AND (octet_length(tz) <= 64)))
    CHECK (((priority >= 0) AND (priority <= 2)))
    CHECK (((state <> 'done'::text) OR (run_at IS NULL)))
    CHECK (((state = 'done'::text) = (done_at IS NOT NULL)))
    CHECK ((clock = ANY (ARRAY['real'::text, 'sim'::text])))
    CHECK ((length(nonce) <= 128))
    CHECK ((missed = ANY (ARRAY['skip'::text, 'once'::text, 'all'::text])))
    CHECK ((octet_length(body) <= 1048576))
    CHECK ((octet_length(to_name) <= 512))
    CHECK ((overlap = ANY (ARRAY['allow'::text, 'skip'::text])))
    CHECK ((sealed_to ~ '^[0-9a-f]{64}$'::text))
    CHECK ((state = ANY (ARRAY['active'::text, 'paused'::text, 'done'::text])))
    CHECK ((subtype = 'reminder'::text))
    FOREIGN KEY (member) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (id)
    CREATE INDEX schedule_done ON public.schedule USING btree (done_at) WHERE (done_at IS NOT NULL)
    CREATE INDEX schedule_due ON public.schedule USING btree (bucket, due_at) WHERE (due_at IS NOT NULL)
    CREATE INDEX schedule_member ON public.schedule USING btree (member, state)
    CREATE INDEX schedule_mesh ON public.schedule USING btree (mesh) WHERE (state <> 'done'::text)
    CREATE INDEX schedule_sim_due ON public.schedule USING btree (mesh, sim_due_at) WHERE (sim_due_at IS NOT NULL)

table schedule_fire with autovacuum_vacuum_scale_factor=0.05, autovacuum_vacuum_threshold=10000, autovacuum_vacuum_cost_delay=0
    schedule uuid not null
    mesh bigint not null
    n bigint not null
    slot timestamp with time zone not null
    at timestamp with time zone not null
    late_ms bigint not null
    outcome text not null
    message_id uuid
    detail text
    CHECK ((octet_length(detail) <= 1024))
    CHECK ((outcome = ANY (ARRAY['fired'::text, 'overlapped'::text, 'missed'::text, 'failed'::text])))
    FOREIGN KEY (schedule) REFERENCES schedule(id) ON DELETE CASCADE
    PRIMARY KEY (schedule, n)

table send_key_0 with autovacuum_enabled=false
    message_id uuid not null
    body_hash bytea not null
    seq bigint not null
    at timestamp with time zone not null
    PRIMARY KEY (message_id)

table send_key_1 with autovacuum_enabled=false
    message_id uuid not null
    body_hash bytea not null
    seq bigint not null
    at timestamp with time zone not null
    PRIMARY KEY (message_id)

table send_key_turn
    only_row boolean not null default true
    current smallint not null
    since timestamp with time zone not null
    CHECK ((current = ANY (ARRAY[0, 1])))
    CHECK (only_row)
    PRIMARY KEY (only_row)

table session
    mailbox bigint not null default nextval('mailbox_id'::regclass)
    mesh bigint not null
    member bigint not null
    key text not null
    proved boolean not null default false
    attach_no bigint not null default 0
    announced text not null default 'gone'::text
    depart_at timestamp with time zone
    display_name text not null
    session_id text not null
    pid bigint not null
    cwd text not null
    hostname text
    peer_type text
    channel text
    model text
    status text not null default 'idle'::text
    status_source text not null default 'jsonl'::text
    status_at timestamp with time zone not null default now()
    summary text
    groups jsonb not null default '[]'::jsonb
    profile jsonb not null default '{}'::jsonb
    visible boolean not null default true
    stats jsonb
    totals jsonb
    log_place xid8 not null default pg_snapshot_xmin(pg_current_snapshot())
    connected_at timestamp with time zone not null default now()
    seen_at timestamp with time zone not null default now()
    since timestamp with time zone not null default now()
    CHECK (((length(display_name) >= 1) AND (length(display_name) <= 128)))
    CHECK ((announced = ANY (ARRAY['here'::text, 'gone'::text])))
    CHECK ((key ~ '^[0-9a-f]{64}$'::text))
    CHECK ((status = ANY (ARRAY['idle'::text, 'working'::text, 'dnd'::text])))
    CHECK ((status_source = ANY (ARRAY['hook'::text, 'manual'::text, 'jsonl'::text])))
    FOREIGN KEY (member) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mailbox)
    UNIQUE (mesh, key)
    CREATE INDEX session_depart_at_idx ON public.session USING btree (depart_at) WHERE (depart_at IS NOT NULL)
    CREATE INDEX session_member_seen_at_idx ON public.session USING btree (member, seen_at DESC)
    CREATE INDEX session_mesh_depart_at_idx ON public.session USING btree (mesh, depart_at) WHERE (depart_at IS NOT NULL)
    CREATE UNIQUE INDEX session_mesh_key_key ON public.session USING btree (mesh, key)
    CREATE INDEX session_seen_at_idx ON public.session USING btree (seen_at)
    CREATE INDEX session_status_at_idx ON public.session USING btree (status_at) WHERE ((status = 'working'::text) AND (status_source = 'hook'::text))

table skill
    mesh bigint not null
    name text not null
    description text not null
    instructions text not null
    tags text[] not null default '{}'::text[]
    author bigint not null
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 128)))
    CHECK ((octet_length(description) <= 4096))
    CHECK ((octet_length(instructions) <= 262144))
    FOREIGN KEY (author) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh, name)
    CREATE INDEX skill_author_idx ON public.skill USING btree (author)

table state with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0
    mesh bigint not null
    key text not null
    value text
    version bigint not null
    writer bigint not null default 0
    updated_by text not null
    updated_at timestamp with time zone not null
    expires_at timestamp with time zone
    xid xid8 not null
    CHECK (((octet_length(key) >= 1) AND (octet_length(key) <= 256)))
    CHECK ((octet_length(value) <= 262144))
    CHECK ((version > 0))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh, key)
    CREATE INDEX state_changes ON public.state USING btree (mesh, xid)
    CREATE INDEX state_expiry ON public.state USING btree (expires_at) WHERE (expires_at IS NOT NULL)
    CREATE INDEX state_removed ON public.state USING btree (updated_at) WHERE (value IS NULL)

table stream
    id text not null
    mesh bigint not null
    name text not null
    created_by text not null
    created_at timestamp with time zone not null default now()
    CHECK (((length(created_by) >= 1) AND (length(created_by) <= 128)))
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 128)))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (id)
    UNIQUE (mesh, name)
    CREATE UNIQUE INDEX stream_mesh_name_key ON public.stream USING btree (mesh, name)

table subscription
    mesh bigint not null
    stream text not null
    session bigint not null
    attach_no bigint not null
    CHECK (((octet_length(stream) >= 1) AND (octet_length(stream) <= 128)))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    FOREIGN KEY (session) REFERENCES session(mailbox) ON DELETE CASCADE
    PRIMARY KEY (mesh, stream, session)
    CREATE INDEX subscription_session_idx ON public.subscription USING btree (session)

table task
    id text not null
    mesh bigint not null
    title text not null
    assignee text
    priority text not null
    urgency smallint not null default 
CASE priority
    WHEN 'urgent'::text THEN 0
    WHEN 'high'::text THEN 1
    WHEN 'low'::text THEN 3
    ELSE 2
END
    tags text[] not null
    status text not null default 'open'::text
    created_by bigint not null
    created_at timestamp with time zone not null default now()
    waits_for bigint not null default 0
    claims bigint not null default 0
    claimed_by bigint
    claimed_session text
    claimed_at timestamp with time zone
    leased_until timestamp with time zone
    completed_by bigint
    completed_at timestamp with time zone
    result text
    CHECK (((leased_until IS NULL) OR (status = 'claimed'::text)))
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK (((status <> 'claimed'::text) OR (claimed_by IS NOT NULL)))
    CHECK (((status = 'done'::text) = (completed_at IS NOT NULL)))
    CHECK ((cardinality(tags) <= 32))
    CHECK ((octet_length(assignee) <= 512))
    CHECK ((octet_length(priority) <= 64))
    CHECK ((octet_length(result) <= 65536))
    CHECK ((octet_length(title) <= 1024))
    CHECK ((status = ANY (ARRAY['open'::text, 'claimed'::text, 'done'::text])))
    CHECK ((waits_for >= 0))
    FOREIGN KEY (claimed_by) REFERENCES member(mailbox)
    FOREIGN KEY (completed_by) REFERENCES member(mailbox)
    FOREIGN KEY (created_by) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (id)
    CREATE INDEX task_claimed_by_idx ON public.task USING btree (claimed_by) WHERE (claimed_by IS NOT NULL)
    CREATE INDEX task_completed_by_idx ON public.task USING btree (completed_by) WHERE (completed_by IS NOT NULL)
    CREATE INDEX task_created_by_idx ON public.task USING btree (created_by)
    CREATE INDEX task_leases ON public.task USING btree (leased_until) WHERE (leased_until IS NOT NULL)
    CREATE INDEX task_newest ON public.task USING btree (mesh, created_at DESC, id DESC)
    CREATE INDEX task_queue ON public.task USING btree (mesh, urgency, created_at, id) WHERE ((status = 'open'::text) AND (waits_for = 0))
    CREATE INDEX task_status ON public.task USING btree (mesh, status, created_at DESC, id DESC)

table task_count
    mesh bigint not null
    n bigint not null
    CHECK ((n >= 0))
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh)

table task_dependency
    mesh bigint not null
    task text not null
    depends_on text not null
    FOREIGN KEY (depends_on) REFERENCES task(id) ON DELETE CASCADE
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    FOREIGN KEY (task) REFERENCES task(id) ON DELETE CASCADE
    PRIMARY KEY (task, depends_on)
    CREATE INDEX task_dependency_depends_on_idx ON public.task_dependency USING btree (depends_on)
    CREATE INDEX task_dependency_mesh_idx ON public.task_dependency USING btree (mesh)

table watch with fillfactor=70, autovacuum_vacuum_scale_factor=0.1, autovacuum_vacuum_cost_delay=0
    mesh bigint not null
    id text not null
    bucket integer not null default ((mesh % (64)::bigint))::integer
    member bigint not null
    url text not null
    mode text not null
    extract text
    interval_s integer not null
    notify_on text not null
    headers text
    header_names text[] not null default '{}'::text[]
    label text
    group_path text
    created_at timestamp with time zone not null default now()
    phase double precision not null
    check_no bigint not null default 0
    next_at timestamp with time zone not null default now()
    checked_at timestamp with time zone
    value text
    hash text
    http_status integer
    error text
    failures integer not null default 0
    etag text
    last_modified text
    CHECK (((interval_s >= 5) AND (interval_s <= 2592000)))
    CHECK (((octet_length(url) >= 1) AND (octet_length(url) <= 2048)))
    CHECK (((phase >= (0)::double precision) AND (phase < (1)::double precision)))
    CHECK (((value IS NULL) = (hash IS NULL)))
    CHECK ((cardinality(header_names) <= 32))
    CHECK ((failures >= 0))
    CHECK ((hash ~ '^[0-9a-f]{16}$'::text))
    CHECK ((id ~ '^w_[0-9a-f]{8}$'::text))
    CHECK ((mode = ANY (ARRAY['hash'::text, 'json'::text, 'status'::text])))
    CHECK ((octet_length("extract") <= 512))
    CHECK ((octet_length(error) <= 256))
    CHECK ((octet_length(etag) <= 1024))
    CHECK ((octet_length(group_path) <= 128))
    CHECK ((octet_length(headers) <= 32768))
    CHECK ((octet_length(label) <= 256))
    CHECK ((octet_length(last_modified) <= 256))
    CHECK ((octet_length(notify_on) <= 266))
    CHECK ((octet_length(value) <= 4096))
    FOREIGN KEY (member) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (mesh, id)
    CREATE INDEX watch_due ON public.watch USING btree (bucket, next_at)
    CREATE INDEX watch_member_idx ON public.watch USING btree (member)

table webhook
    id text not null
    mesh bigint not null
    name text not null
    token_hash bytea not null
    sealed text not null
    signed boolean not null
    target text
    created_by bigint not null
    created_at timestamp with time zone not null default now()
    CHECK (((length(id) >= 1) AND (length(id) <= 64)))
    CHECK (((length(target) >= 1) AND (length(target) <= 129)))
    CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 128)))
    CHECK ((length(token_hash) = 32))
    CHECK ((octet_length(sealed) <= 512))
    FOREIGN KEY (created_by) REFERENCES member(mailbox)
    FOREIGN KEY (mesh) REFERENCES mesh(no)
    PRIMARY KEY (id)
    UNIQUE (mesh, name)
    UNIQUE (token_hash)
    CREATE INDEX webhook_created_by_idx ON public.webhook USING btree (created_by)
    CREATE UNIQUE INDEX webhook_mesh_name_key ON public.webhook USING btree (mesh, name)
    CREATE UNIQUE INDEX webhook_token_hash_key ON public.webhook USING btree (token_hash)

table webhook_seen
    webhook text not null
    mesh bigint not null
    id_hash bytea not null
    at timestamp with time zone not null default now()
    CHECK ((length(id_hash) = 32))
    FOREIGN KEY (webhook) REFERENCES webhook(id) ON DELETE CASCADE
    PRIMARY KEY (webhook, id_hash)
    CREATE INDEX webhook_seen_at_idx ON public.webhook_seen USING btree (at)
