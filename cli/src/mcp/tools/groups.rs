//! Groups: joining and leaving.

use skein_wire::groups::{Group, JoinGroup, LeaveGroup};

use super::arguments::{Kind, optional, required, text};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "join_group",
        description: "Join a group, so that messages to @group reach you; again with another \
                      role changes the role. @a also reaches a/b.",
        parameters: &[
            required("name", Kind::Text, "The group: a, or a path like a/b"),
            optional("role", Kind::Text, "What you do in it: lead, member, observer, ..."),
        ],
        effect: Effect::Sets,
        run: |call| Box::pin(join(call)),
    },
    Tool {
        name: "leave_group",
        description: "Leave a group.",
        parameters: &[required("name", Kind::Text, "The group")],
        effect: Effect::Sets,
        run: |call| Box::pin(leave(call)),
    },
];

async fn join(call: Call) -> Reply {
    let name = path(&call);
    let role = text(&call.arguments, "role").map(str::to_owned);
    call.everywhere(|mesh| {
        let (name, role) = (name.clone(), role.clone());
        async move {
            let tell = JoinGroup { name: name.clone(), role: role.clone() };
            let group = Group { name: name.clone(), role: role.clone() };
            let said = mesh.wish(&tell, |wishes| wishes.join(group)).await?;
            let role = role.map(|role| format!(" as {}", fence::line(&role))).unwrap_or_default();
            Ok(format!("Joined @{}{role}{said}", fence::line(&name)))
        }
    })
    .await
}

async fn leave(call: Call) -> Reply {
    let name = path(&call);
    call.everywhere(|mesh| {
        let name = name.clone();
        async move {
            let tell = LeaveGroup { name: name.clone() };
            let said = mesh.wish(&tell, |wishes| wishes.leave(&name)).await?;
            Ok(format!("Left @{}{said}", fence::line(&name)))
        }
    })
    .await
}

/// The group's path, without the `@` that many write.
fn path(call: &Call) -> String {
    let name = text(&call.arguments, "name").unwrap_or_default().trim();
    name.strip_prefix('@').unwrap_or(name).to_owned()
}
