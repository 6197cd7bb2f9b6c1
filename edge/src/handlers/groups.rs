//! Groups: join, leave.

use skein_sql::sessions;
use skein_wire::{
    Code,
    groups::{Group, JoinGroup, LeaveGroup, Request},
    limit,
};

use super::{Context, Error, Result, within};

/// Serves one groups message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::JoinGroup(call) => join(ctx, call).await.map(|()| None),
        Request::LeaveGroup(call) => leave(ctx, &call).await.map(|()| None),
    }
}

/// Whether a text is a group's path: parts of any characters but `/` and controls, none empty.
pub fn is_path(text: &str) -> bool {
    (1..=limit::GROUP_BYTES_MAX).contains(&text.len())
        && !text.starts_with('@')
        && text.split('/').all(|part| !part.is_empty() && !part.chars().any(char::is_control))
}

fn path(name: &str) -> Result<&str> {
    let path = name.strip_prefix('@').unwrap_or(name);
    if is_path(path) {
        return Ok(path);
    }
    let max = limit::GROUP_BYTES_MAX;
    let why = format!("`name` is no group path of at most {max} bytes, such as `dev/backend`");
    Err(Error::Refused(Code::InvalidMessage, why))
}

async fn join(ctx: &Context<'_>, call: JoinGroup) -> Result<()> {
    let name = path(&call.name)?.to_owned();
    let role = call.role.filter(|role| !role.is_empty());
    within("role", role.as_deref().map_or(0, str::len), limit::ROLE_BYTES_MAX)?;
    let mut groups = ctx.session.live().groups.clone();
    groups.retain(|g| g.name != name);
    if groups.len() >= limit::GROUPS_MAX {
        let why = format!("a session is in at most {} groups", limit::GROUPS_MAX);
        return Err(Error::Refused(Code::InvalidMessage, why));
    }
    groups.push(Group { name, role });
    keep(ctx, groups).await
}

async fn leave(ctx: &Context<'_>, call: &LeaveGroup) -> Result<()> {
    let name = path(&call.name)?;
    let mut groups = ctx.session.live().groups.clone();
    groups.retain(|g| g.name != name);
    keep(ctx, groups).await
}

async fn keep(ctx: &Context<'_>, groups: Vec<Group>) -> Result<()> {
    let db = ctx.db().await?;
    let session = ctx.session;
    ctx.current(sessions::set_groups(&db, session.mailbox, session.attach_no, &groups).await?)?;
    session.live().groups = groups;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_path;

    #[test]
    fn paths_have_parts_that_are_not_empty() {
        assert!(is_path("a") && is_path("dev/backend") && is_path("Köln") && is_path("a'b"));
        for bad in ["", "/", "a/", "/a", "a//b", "@a", "a\nb", &"x".repeat(129)] {
            assert!(!is_path(bad), "{bad}");
        }
        assert!(is_path(&"x".repeat(128)));
    }
}
