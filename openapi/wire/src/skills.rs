//! Skills: instructions that peers share under a name.
//!
//! A name belongs to the member that took it: only its author, and admins of the mesh, share it
//! anew or remove it. An admin who does is its author from then on, so that `author` always says
//! whose words the instructions are.

use serde::{Deserialize, Serialize};

use crate::call::calls;

calls! { Skills {
    /// Shares a skill, or shares it anew.
    "share_skill" ShareSkill => SkillAck,
    /// Reads a skill.
    "get_skill" GetSkill => SkillData,
    /// Lists skills.
    "list_skills" ListSkills => SkillList,
    /// Removes a skill.
    "remove_skill" RemoveSkill => SkillAck,
}}

/// Shares a skill, or shares it anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "share_skill")]
pub struct ShareSkill {
    /// Its name, which is its own in the mesh.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What to do.
    pub instructions: String,
    /// What it can be found by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// What was done with a skill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "skill_ack")]
pub struct SkillAck {
    /// Its name.
    pub name: String,
    /// `shared`, `removed` or `not_found`.
    pub action: String,
}

/// Reads a skill.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "get_skill")]
pub struct GetSkill {
    /// Its name.
    pub name: String,
}

/// A skill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What to do.
    pub instructions: String,
    /// What it can be found by.
    pub tags: Vec<String>,
    /// The enrolment name of the member whose it is.
    pub author: String,
    /// When the name was taken, ISO 8601.
    pub created_at: String,
}

/// A skill that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "skill_data")]
pub struct SkillData {
    /// `null` where there is none of that name.
    pub skill: Option<Skill>,
}

/// Lists skills.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "list_skills")]
pub struct ListSkills {
    /// What must stand in the name, the description or a tag, in upper or lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// Removes a skill.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "remove_skill")]
pub struct RemoveSkill {
    /// Its name.
    pub name: String,
}

/// A skill as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedSkill {
    /// See [`Skill::name`].
    pub name: String,
    /// See [`Skill::description`].
    pub description: String,
    /// See [`Skill::tags`].
    pub tags: Vec<String>,
    /// See [`Skill::author`].
    pub author: String,
    /// See [`Skill::created_at`].
    pub created_at: String,
}

/// The skills of a mesh, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "skill_list")]
pub struct SkillList {
    /// As many as fit one frame.
    pub skills: Vec<ListedSkill>,
}
