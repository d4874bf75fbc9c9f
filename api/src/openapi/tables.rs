//! Lists of admins as tables for spreadsheets.

use super::schemas::PREFIX;
use crate::statements::FILES;
use serde_json::{Value, json};

/// Says of each list of admins that it is a table too.
pub fn add(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let is_page = |response: &Value| {
        let schema = response.pointer("/content/application~1json/schema/$ref").and_then(Value::as_str);
        let page = schema.and_then(|it| schemas.get(it.strip_prefix(PREFIX)?));
        page.is_some_and(|page| page.pointer("/properties/next_cursor").is_some())
    };
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, item) in paths.filter(|(path, _)| path.starts_with("/v1/admin/")) {
        let Some(response) = item.pointer_mut("/get/responses/200").filter(|it| is_page(it)) else {
            continue;
        };
        response["content"]["text/csv"] = json!({
            "schema": { "type": "string" },
            "example": "revision,kind\r\n4711,GiftSent\r\n",
        });
        response["headers"]["Next-Cursor"] = json!({
            "description": "Of a table with more rows: the `cursor` of the next part.",
            "schema": { "type": "string" },
        });
    }
}

/// Statements, which are files too.
const STATEMENTS: [&str; 4] = [
    "/v1/admin/settlements/draft",
    "/v1/admin/settlements/{settlement}",
    "/v1/agencies/{agency}/settlements/{settlement}",
    "/v1/me/settlements/{settlement}",
];

/// Says of each statement in which forms there is one.
pub fn add_files(document: &mut Value) {
    for path in STATEMENTS {
        let Some(response) = document["paths"][path].pointer_mut("/get/responses/200") else { continue };
        for kind in FILES {
            response["content"][kind] = match kind {
                "text/csv" => json!({
                    "schema": { "type": "string" },
                    "example": "revision,type\r\n4711,gift\r\n4712,total\r\n",
                }),
                _ => json!({ "schema": { "type": "string", "format": "binary" } }),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_of_admins_and_statements_are_tables_and_other_lists_are_not() {
        let document = crate::openapi();
        let paths = document["paths"].as_object().expect("paths").iter();
        let is_table =
            |item: &serde_json::Value| item.pointer("/get/responses/200/content/text~1csv").is_some();
        let tables: Vec<&String> = paths.filter(|(_, item)| is_table(item)).map(|(path, _)| path).collect();
        assert_eq!(
            tables,
            [
                "/v1/admin/accounts",
                "/v1/admin/accounts/{account}/statement",
                "/v1/admin/approvals",
                "/v1/admin/audit",
                "/v1/admin/campaigns",
                "/v1/admin/campaigns/{campaign}/rewards",
                "/v1/admin/commission-log",
                "/v1/admin/commission-rates",
                "/v1/admin/coupons",
                "/v1/admin/disputes",
                "/v1/admin/events",
                "/v1/admin/hosts",
                "/v1/admin/journal-heads",
                "/v1/admin/orders",
                "/v1/admin/payout-rates",
                "/v1/admin/people",
                "/v1/admin/people/{person}/lots",
                "/v1/admin/receivables",
                "/v1/admin/reconciliations",
                "/v1/admin/reconciliations/{reconciliation}/items",
                "/v1/admin/services",
                "/v1/admin/settlements",
                "/v1/admin/settlements/draft",
                "/v1/admin/settlements/{settlement}",
                "/v1/admin/settlements/{settlement}/items",
                "/v1/admin/subscriptions",
                "/v1/admin/suspense",
                "/v1/admin/tax-rates",
                "/v1/admin/webhooks",
                "/v1/admin/withdrawals",
                "/v1/agencies/{agency}/settlements/{settlement}",
                "/v1/me/settlements/{settlement}",
            ]
        );
    }
}
