//! The schemas of the document: names that read well, every page and row under a name of its own, words instead of any
//! text where only some are possible, and nothing that no route uses.

use super::{parameters_of, walk};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

pub const PREFIX: &str = "#/components/schemas/";

/// Fields that hold one of a few words, by schema and field, with the name of that set of words.
const WORDS: &[(&str, &str, &str, &[&str])] = &[
    (
        "CallView",
        "status",
        "CallStatus",
        &[
            "ringing",
            "rejected",
            "cancelled",
            "missed",
            "busy",
            "failed",
            "accepted",
            "running",
            "paused",
            "ended",
        ],
    ),
    ("CallOutcome", "end_reason", "CallEndReason", &["hung_up", "exhausted", "lost", "stopped"]),
    (
        "Purchase",
        "status",
        "PurchaseStatus",
        &["opened", "failed", "expired", "captured", "partly_refunded", "refunded", "charged_back"],
    ),
    (
        "Withdrawal",
        "status",
        "WithdrawalStatus",
        &["requested", "approved", "rejected", "cancelled", "sent", "unknown", "paid", "failed", "reversed"],
    ),
    (
        "StatementLine",
        "type",
        "MovementType",
        &[
            "purchase",
            "refund",
            "dispute",
            "receivable",
            "clawback",
            "unmatched",
            "suspense",
            "bonus",
            "bonus_expiry",
            "reward",
            "subscription",
            "call",
            "call_return",
            "gift",
            "order",
            "order_return",
            "commission",
            "withdrawal",
            "adjustment",
        ],
    ),
    (
        "StatementLine",
        "status",
        "MovementStatus",
        &[
            "completed",
            "held",
            "requested",
            "approved",
            "rejected",
            "cancelled",
            "paid",
            "failed",
            "unresolved",
            "resolved",
            "frozen",
            "released",
            "lost",
            "reversed",
            "open",
            "recovered",
            "written_off",
            "taken",
            "given_back",
        ],
    ),
    (
        "UnmatchedRow",
        "cause",
        "SuspenseCause",
        &[
            "unknown_order",
            "second_payment",
            "amount_mismatch",
            "currency_mismatch",
            "balance_full",
            "refund_unmatched",
            "refund_before_capture",
            "refund_uncovered",
            "dispute_unmatched",
            "dispute_before_capture",
            "dispute_reversed",
        ],
    ),
    (
        "Order",
        "status",
        "OrderStatus",
        &["unpaid", "paid", "accepted", "completed", "refunded", "cancelled", "expired"],
    ),
    ("Order", "cancel_cause", "CancelCause", &["buyer", "declined", "unpaid"]),
    ("Subscription", "status", "SubscriptionStatus", &["active", "grace", "cancelled", "lapsed"]),
    ("Dispute", "status", "DisputeStatus", &["open", "won", "closed", "lost"]),
    ("Live", "status", "Liveness", &["live"]),
];

/// The words of a set.
pub fn words_of(name: &str) -> &'static [&'static str] {
    WORDS.iter().find(|(_, _, it, _)| *it == name).map_or(&[], |(_, _, _, words)| words)
}

pub fn tidy(document: &mut Value) {
    document["components"]["schemas"]["Problem"] = problem();
    name_rows(document);
    rename(document);
    words(document);
}

/// Written by hand: members beside the named ones cannot be derived.
fn problem() -> Value {
    json!({
        "description": "An error (RFC 9457). Decide by `code`, which never changes its meaning; `detail` is a sentence for \
            people and may change. Further members hold figures of the case, such as `needed_milli` or \
            `retry_after_seconds`.",
        "type": "object",
        "properties": {
            "type": { "type": "string", "description": "`/problems/` and the code." },
            "title": { "type": "string", "description": "The code as words." },
            "status": { "type": "integer", "format": "int32", "description": "The status of the answer." },
            "detail": { "type": "string", "description": "What went wrong, for people." },
            "code": { "type": "string", "description": "What went wrong, for programs." },
            "field": { "type": "string", "description": "The field of the request that caused the error." },
            "retry_after_seconds": {
                "type": "integer",
                "format": "int32",
                "description": "When the same request may succeed. Absent where asking again does not help.",
            },
        },
        "required": ["type", "title", "status", "detail", "code"],
        "additionalProperties": true,
        "example": {
            "type": "/problems/insufficient_funds",
            "title": "Insufficient funds",
            "status": 409,
            "detail": "this needs 2000 thousandths of a coin and 500 can be spent",
            "code": "insufficient_funds",
            "needed_milli": 2_000,
            "spendable_milli": 500,
        },
    })
}

/// Pages repeat the schema of their rows. Each row gets a name, and the page refers to it.
fn name_rows(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let pages: Vec<String> = schemas.keys().filter(|name| name.starts_with("Page_")).cloned().collect();
    for page in pages {
        let row = page["Page_".len()..].to_owned();
        let Some(items) = schemas[&page].pointer_mut("/properties/items/items") else { continue };
        if items.get("$ref").is_none() {
            let schema = std::mem::replace(items, json!({ "$ref": format!("{PREFIX}{row}") }));
            schemas.entry(row).or_insert(schema);
        }
    }
}

/// `Page_InCoins_GiftRow` is a word of the program; the document says `GiftPage`, and `Gift` for each item.
fn rename(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let renamed: Map<String, Value> =
        std::mem::take(schemas).into_iter().map(|(name, schema)| (name_of(&name), schema)).collect();
    *schemas = renamed;
    walk(document, &mut |object| {
        if let Some(Value::String(target)) = object.get_mut("$ref")
            && let Some(name) = target.strip_prefix(PREFIX)
        {
            *target = format!("{PREFIX}{}", name_of(name));
        }
    });
}

fn name_of(name: &str) -> String {
    if let Some(row) = name.strip_prefix("Page_") {
        let row = name_of(row);
        return format!("{}Page", row.strip_suffix("View").or(row.strip_suffix("Row")).unwrap_or(&row));
    }
    if let Some(row) = name.strip_prefix("WithOther_") {
        return format!("{}WithOther", name_of(row));
    }
    match name.strip_prefix("InCoins_") {
        Some(row) => row.strip_suffix("Row").unwrap_or(row).to_owned(),
        None => name.to_owned(),
    }
}

fn words(document: &mut Value) {
    for (schema, field, name, words) in WORDS {
        document["components"]["schemas"][name] = json!({ "type": "string", "enum": words });
        let target = json!({ "$ref": format!("{PREFIX}{name}") });
        // A row in coins has the fields of the row and the asset, side by side.
        let schemas = document["components"]["schemas"].as_object_mut().into_iter().flatten();
        let with_other = format!("{schema}WithOther");
        let rows = schemas.filter(|(name, _)| *name == schema || **name == with_other);
        rows.for_each(|(_, row)| {
            walk(row, &mut |object| {
                let Some(old) = object.get_mut("properties").and_then(|it| it.get_mut(*field)) else {
                    return;
                };
                let optional = old["type"].is_array();
                let described = old.get_mut("description").map(Value::take);
                let mut new = if optional {
                    json!({ "oneOf": [target.clone(), { "type": "null" }] })
                } else {
                    target.clone()
                };
                if let Some(described) = described {
                    new["description"] = described;
                }
                *old = new;
            })
        });
    }
    filters(document);
}

/// Filters that take one of a few words, by path and parameter.
const FILTERS: &[(&str, &str, &str)] = &[
    ("/v1/admin/orders", "status", "OrderStatus"),
    ("/v1/orders", "status", "OrderStatus"),
    ("/v1/orders/received", "status", "OrderStatus"),
    ("/v1/admin/subscriptions", "status", "SubscriptionStatus"),
    ("/v1/admin/accounts/{account}/statement", "type", "MovementType"),
    ("/v1/wallet/statement", "type", "MovementType"),
    ("/v1/admin/suspense", "cause", "SuspenseCause"),
    ("/v1/admin/disputes", "status", "DisputeStatus"),
];

fn filters(document: &mut Value) {
    for (path, name, words) in FILTERS {
        for parameter in parameters_of(&mut document["paths"][*path]["get"]) {
            if parameter["name"] == *name {
                parameter["schema"] = json!({ "$ref": format!("{PREFIX}{words}") });
            }
        }
    }
}

/// Takes out what nothing refers to, and then what only that referred to.
pub fn drop_unused(document: &mut Value) {
    loop {
        let mut used = BTreeSet::new();
        walk(document, &mut |object| {
            if let Some(Value::String(target)) = object.get("$ref") {
                used.insert(target.clone());
            }
        });
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(&format!("{PREFIX}{name}")));
        if schemas.len() == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{WORDS, name_of};
    use serde_json::Value;

    #[test]
    fn names_say_what_a_thing_is() {
        for (inside, outside) in [
            ("Page_InCoins_GiftRow", "GiftPage"),
            ("InCoins_GiftRow", "Gift"),
            ("Page_CallView", "CallPage"),
            ("Page_WithOther_InCoins_GiftRow", "GiftWithOtherPage"),
            ("Page_StatementLine", "StatementLinePage"),
            ("CallView", "CallView"),
        ] {
            assert_eq!(name_of(inside), outside);
        }
        let inside = crate::routes::all().into_openapi().components.expect("schemas").schemas;
        let mut outside: Vec<String> = inside.keys().map(|name| name_of(name)).collect();
        outside.sort_unstable();
        let twice: Vec<&String> = outside.windows(2).filter(|it| it[0] == it[1]).map(|it| &it[0]).collect();
        assert!(twice.is_empty(), "two schemas of one name: {twice:?}");
        let names: Vec<String> = schemas().into_iter().map(|(name, _)| name).collect();
        assert!(!names.iter().any(|name| name.contains('_')), "{names:?}");
    }

    #[test]
    fn each_field_of_words_is_there() {
        let schemas = schemas();
        for (schema, field, name, _) in WORDS {
            let found = schemas.iter().find(|(it, _)| it == schema).map(|(_, it)| it.to_string());
            let found = found.unwrap_or_else(|| panic!("{schema} is no schema"));
            assert!(found.contains(&format!("schemas/{name}\"")), "{schema}.{field}");
        }
    }

    fn schemas() -> Vec<(String, Value)> {
        let document = crate::openapi();
        document["components"]["schemas"].as_object().expect("schemas").clone().into_iter().collect()
    }
}
