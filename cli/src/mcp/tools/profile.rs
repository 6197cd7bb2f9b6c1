//! Profile: what this session says of itself.

use skein_wire::profile::SetProfile;

use super::arguments::{Kind, optional, text, texts};
use super::{Call, Effect, Reply, Tool};

pub const TOOLS: &[Tool] = &[Tool {
    name: "set_profile",
    description: "Say who you are: only the fields that are given change. An empty text or list \
                  clears a field.",
    parameters: &[
        optional("avatar", Kind::AnyText, "An emoji or an address of a picture"),
        optional("title", Kind::AnyText, "What you are, e.g. Reviewer"),
        optional("bio", Kind::AnyText, "A few sentences"),
        optional("capabilities", Kind::Texts, "What you can do for others"),
    ],
    effect: Effect::Sets,
    run: |call| Box::pin(set(call)),
}];

async fn set(call: Call) -> Reply {
    let given = |name| text(&call.arguments, name).map(str::to_owned);
    let change = SetProfile {
        avatar: given("avatar"),
        title: given("title"),
        bio: given("bio"),
        capabilities: texts(&call.arguments, "capabilities"),
    };
    let fields = [
        ("avatar", change.avatar.is_some()),
        ("title", change.title.is_some()),
        ("bio", change.bio.is_some()),
        ("capabilities", change.capabilities.is_some()),
    ];
    let fields: Vec<_> = fields.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if fields.is_empty() {
        return Err("give at least one of avatar, title, bio, capabilities".into());
    }
    let fields = fields.join(", ");
    call.everywhere(|mesh| {
        let (change, fields) = (change.clone(), fields.clone());
        async move {
            let said = mesh.wish(&change, |wishes| wishes.profile.merge(&change)).await?;
            Ok(format!("Profile set: {fields}{said}"))
        }
    })
    .await
}
