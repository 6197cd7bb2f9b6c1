-- What the migrations come to, for readers. Written by a test; nobody edits it by hand.

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
