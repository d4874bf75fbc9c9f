//! The statements for one stream. Its name is made of letters, digits, `-` and `_`, so it can stand in quotes.

use std::sync::Arc;

pub(super) struct Statements {
    pub(super) table: String,
    pub(super) channel: String,
    pub(super) make: [String; 2],
    pub(super) append: Arc<str>,
    pub(super) compare: Arc<str>,
    pub(super) read: Arc<str>,
    pub(super) head: Arc<str>,
}

impl Statements {
    pub(super) fn new(stream: &str) -> Self {
        let table = format!("journal.\"{stream}\"");
        let channel = format!("journal:{stream}");
        Self {
            make: [
                "CREATE SCHEMA IF NOT EXISTS journal".to_owned(),
                format!(
                    "CREATE TABLE IF NOT EXISTS {table} (
                         revision bigint PRIMARY KEY CHECK (revision >= 0),
                         id uuid NOT NULL,
                         kind text NOT NULL,
                         data bytea NOT NULL,
                         metadata bytea NOT NULL
                     )"
                ),
            ],
            // Whoever looks at the end at the same time inserts the same revision: the primary key lets one of
            // them in. The setting holds for this transaction, which is this statement.
            append: format!(
                "WITH tail AS MATERIALIZED (
                     SELECT coalesce((SELECT max(revision) FROM {table}), -1) AS revision,
                         set_config(
                             'synchronous_commit',
                             CASE current_setting('synchronous_commit')
                                 WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
                             true
                         ) AS durability
                 ), appended AS (
                     INSERT INTO {table} (revision, id, kind, data, metadata)
                     SELECT $1 + batch.place, batch.id, batch.kind, batch.data, batch.metadata
                     FROM tail, unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[])
                         WITH ORDINALITY AS batch (id, kind, data, metadata, place)
                     WHERE tail.revision = $1
                     RETURNING revision
                 ), told AS (
                     SELECT count(*) AS appended, max(revision) AS head FROM appended
                 )
                 SELECT told.appended, tail.durability,
                     CASE WHEN told.appended > 0 THEN pg_notify('{channel}', told.head::text)::text END
                 FROM told, tail"
            )
            .into(),
            compare: format!(
                "SELECT (SELECT max(revision) FROM {table}),
                     ARRAY(SELECT id FROM {table} WHERE revision >= $1 ORDER BY revision LIMIT $2)"
            )
            .into(),
            read: format!(
                "SELECT revision, id, kind, data, metadata FROM {table}
                 WHERE revision >= $1 ORDER BY revision LIMIT $2"
            )
            .into(),
            head: format!("SELECT max(revision) FROM {table}").into(),
            table,
            channel,
        }
    }
}
