//! Meshes: the tenants. `no` names a mesh in the tables, `id` on the wire.

use openapi::meshes::NewMesh;
use skein_openapi as openapi;
use tokio_postgres::Row;

use crate::{GenericClient, Result, iso, new_id, statement::statements};

statements! {
    CREATE = "
        insert into mesh (id, slug, name, owner_key)
        values ($1, $2, $3, $4)
        on conflict (slug) do nothing
        returning no, id, slug, name, owner_key, peers_max, created_at";

    FIND = "
        select no, id, slug, name, owner_key, peers_max, created_at
          from mesh
         where id = $1 and archived_at is null";

    FIND_BY_SLUG = "
        select no, id, slug, name, owner_key, peers_max, created_at
          from mesh
         where slug = $1 and archived_at is null";

    HOLD = "
        select no
          from mesh
         where no = $1
           for no key update";

    COUNTS = "
        select (select count(*) from presence where mesh = $1) as peers,
               (select count(*) from member where mesh = $1 and revoked_at is null) as members";
}

/// A mesh as the edges know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// What the tables call it.
    pub no: i64,
    /// What the wire calls it.
    pub id: String,
    /// Its short name.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The public key that signs its invites.
    pub owner_key: String,
    /// Sockets attached at once; none: the deployment's default.
    pub peers_max: Option<i64>,
    /// When it was made.
    pub created_at: jiff::Timestamp,
}

impl Mesh {
    /// What REST says of it.
    pub fn object(&self, counts: Counts) -> openapi::meshes::Mesh {
        openapi::meshes::Mesh {
            id: self.id.clone(),
            slug: self.slug.clone(),
            name: self.name.clone(),
            owner_pubkey: self.owner_key.clone(),
            peers_max: self.peers_max,
            peers: counts.peers,
            members: counts.members,
            created_at: iso(self.created_at),
        }
    }
}

/// How many are in a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Sockets attached now.
    pub peers: i64,
    /// Members that were not revoked.
    pub members: i64,
}

/// Makes a mesh, unless its slug is taken. The caller makes the owner's member in the same
/// transaction: a mesh without a member could be entered by nobody.
pub async fn create(db: &impl GenericClient, new: &NewMesh) -> Result<Option<Mesh>> {
    let create = db.prepare_cached(CREATE).await?;
    let id = new_id();
    let row = db.query_opt(&create, &[&id, &new.slug, &new.name, &new.owner_pubkey]).await?;
    Ok(row.as_ref().map(mesh))
}

/// The mesh of this id.
pub async fn find(db: &impl GenericClient, id: &str) -> Result<Option<Mesh>> {
    let find = db.prepare_cached(FIND).await?;
    Ok(db.query_opt(&find, &[&id]).await?.as_ref().map(mesh))
}

/// The mesh of this short name.
pub async fn find_by_slug(db: &impl GenericClient, slug: &str) -> Result<Option<Mesh>> {
    let find = db.prepare_cached(FIND_BY_SLUG).await?;
    Ok(db.query_opt(&find, &[&slug]).await?.as_ref().map(mesh))
}

/// Holds a mesh until the caller's transaction ends: whoever adds what the mesh has so many of,
/// counts them alone. Two that count at once would both find room.
pub async fn hold(db: &impl GenericClient, mesh: i64) -> Result<()> {
    let hold = db.prepare_cached(HOLD).await?;
    db.execute(&hold, &[&mesh]).await?;
    Ok(())
}

/// How many are in the mesh.
pub async fn counts(db: &impl GenericClient, mesh: i64) -> Result<Counts> {
    let counts = db.prepare_cached(COUNTS).await?;
    let row = db.query_one(&counts, &[&mesh]).await?;
    Ok(Counts { peers: row.get("peers"), members: row.get("members") })
}

fn mesh(row: &Row) -> Mesh {
    Mesh {
        no: row.get("no"),
        id: row.get("id"),
        slug: row.get("slug"),
        name: row.get("name"),
        owner_key: row.get("owner_key"),
        peers_max: row.get("peers_max"),
        created_at: row.get("created_at"),
    }
}
