//! Atlassian Document Format, version 1.
//!
//! Owns the rendering of plain text as nodes. Text nodes carry no markup, so nothing that a target or
//! a person wrote can become a link, a mention or a macro; an empty text node is refused by Jira and
//! so never made.

use serde_json::{Value, json};

use super::super::order::WorkOrder;

/// A work order as headings with lists.
pub(super) fn order(order: &WorkOrder) -> Value {
    let mut content = Vec::new();
    for section in &order.sections {
        content.push(json!({
            "type": "heading",
            "attrs": { "level": 3 },
            "content": [words(section.heading)],
        }));
        let items = section.lines.iter().filter(|line| !line.is_empty());
        let items: Vec<_> = items
            .map(|line| json!({ "type": "listItem", "content": [paragraph(line)] }))
            .collect();
        content.push(json!({ "type": "bulletList", "content": items }));
    }
    document(content)
}

/// Lines of text as paragraphs.
pub(super) fn text(text: &str) -> Value {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    document(lines.map(paragraph).collect())
}

fn document(content: Vec<Value>) -> Value {
    json!({ "type": "doc", "version": 1, "content": content })
}

fn paragraph(line: &str) -> Value {
    json!({ "type": "paragraph", "content": [words(line)] })
}

fn words(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}
