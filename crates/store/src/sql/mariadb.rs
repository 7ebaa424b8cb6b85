//! Statements as MariaDB reads them.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

/// The clock of the statement, in microseconds since 1970, in whatever time zone the session is.
pub(crate) const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6))";

/// A text of whatever character set and collation, to be compared byte by byte.
pub(crate) fn exact(expression: &str) -> String {
    format!("CONVERT({expression} USING utf8mb4) COLLATE utf8mb4_nopad_bin")
}

/// A UUID that is stored as 16 bytes or as text, as canonical text.
pub(crate) fn uuid_text(column: &str) -> String {
    let hex = format!(
        "lower(CONVERT(CASE LENGTH({column}) WHEN 16 THEN HEX({column}) ELSE REPLACE({column}, '-', '') END USING utf8mb4))"
    );
    let parts = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)];
    let part = |(from, length)| format!("SUBSTR({hex}, {from}, {length})");
    format!("CONCAT({})", parts.map(part).join(", '-', "))
}

/// Takes turns with whatever transaction locks the same text, until this one ends. MariaDB's own named locks outlive a transaction; a row's lock does not.
///
/// Texts share a thousand rows. Identifiers have rows of their own: a transaction locks one before it locks a principal, and never the other way round.
pub(crate) async fn lock_text<C: ConnectionTrait>(db: &C, text: &str) -> Result<(), DbErr> {
    let row = "CONCAT('turn:', IF(LEFT($1, 1) = '@', 'identifier:', ''), CRC32($1) % 1024)";
    let text = || [Value::from(text)];
    let lock = format!("SELECT name FROM coherence_meta WHERE name = {row} FOR UPDATE");
    let lock = super::statement(DbBackend::MySql, lock, text());
    if db.query_one_raw(lock).await?.is_none() {
        let make = format!("INSERT INTO coherence_meta (name, value) VALUES ({row}, 0) ON CONFLICT DO NOTHING");
        db.execute_raw(super::statement(DbBackend::MySql, make, text())).await?;
    }
    Ok(())
}

/// A statement that is written for the other databases.
pub(super) fn statement(sql: &str, values: Vec<Value>) -> Statement {
    let (sql, order) = rewritten(sql);
    let ordered = order.into_iter().filter_map(|at| values.get(at).cloned());
    Statement::from_sql_and_values(DbBackend::MySql, on_duplicate_key(sql), ordered)
}

/// The text with `?` for numbered placeholders, and which value each of them is.
///
/// Names in double quotes get backticks, `key` is reserved, a cast to text is one to `CHAR`, and `excluded.x` is `VALUES(x)`.
fn rewritten(sql: &str) -> (String, Vec<usize>) {
    let (mut out, mut order) = (String::with_capacity(sql.len() + 16), Vec::new());
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted_length(rest, first),
            '$' => 1 + leading(rest.get(1..).unwrap_or_default(), |letter| letter.is_ascii_digit()),
            _ if is_of_word(first) => leading(rest, |letter| is_of_word(letter) || letter == '$'),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match token {
            "key" => out.push_str("`key`"),
            "TEXT" => out.push_str("CHAR"),
            "excluded" => {
                let name = rest.get(1..).unwrap_or_default();
                let length = leading(name, is_of_word);
                out.push_str(&format!("VALUES({})", name.get(..length).unwrap_or_default()));
                rest = name.get(length..).unwrap_or_default();
            }
            _ if first == '"' => {
                let name = token.trim_start_matches('"');
                let name = name.strip_suffix('"').unwrap_or(name).replace("\"\"", "\"");
                out.push_str(&format!("`{}`", name.replace('`', "``")));
            }
            _ => match token.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()) {
                Some(number) if number > 0 => {
                    order.push(number - 1);
                    out.push('?');
                }
                _ => out.push_str(token),
            },
        }
    }
    (out, order)
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// How many bytes from the beginning are of such letters.
fn leading(text: &str, is_of: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !is_of(letter)).unwrap_or(text.len())
}

/// The length of a quoted part; a doubled quote is one of its letters.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// `ON CONFLICT` in MariaDB's words. Not `INSERT IGNORE` for `DO NOTHING`: that hides every other error too.
fn on_duplicate_key(sql: String) -> String {
    let Some((insert, clause)) = sql.split_once(" ON CONFLICT") else {
        return sql;
    };
    let set = match clause.split_once("DO UPDATE SET ") {
        Some((_, set)) => set.to_owned(),
        None => {
            let columns = insert.split_once('(').map_or("", |(_, columns)| columns);
            let column = columns.split([',', ')']).next().unwrap_or_default();
            format!("{column} = {column}")
        }
    };
    format!("{insert} ON DUPLICATE KEY UPDATE {set}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> (String, Vec<Value>) {
        let values = (1..=9).map(Value::from).collect();
        let made = statement(text, values);
        (made.sql, made.values.map(|values| values.0).unwrap_or_default())
    }

    #[test]
    fn numbered_placeholders_take_their_values_in_the_order_of_the_text() {
        let (text, values) = sql("UPDATE t SET a = $2 WHERE b = $1 AND ($2 = '' OR c = $10)");
        assert_eq!(text, "UPDATE t SET a = ? WHERE b = ? AND (? = '' OR c = ?)");
        assert_eq!(values, [2, 1, 2].map(Value::from));
    }

    #[test]
    fn what_stands_in_quotes_stays_as_it_is() {
        assert_eq!(
            sql("SELECT '$1 \"key\" it''s $2', $1").0,
            "SELECT '$1 \"key\" it''s $2', ?"
        );
    }

    #[test]
    fn names_get_backticks_that_none_of_their_letters_ends() {
        assert_eq!(sql("SELECT \"a\"\"b`c\" FROM \"t\"").0, "SELECT `a\"b``c` FROM `t`");
        assert_eq!(sql("SELECT v.key, keys FROM v").0, "SELECT v.`key`, keys FROM v");
    }

    #[test]
    fn a_conflict_is_a_duplicate_key() {
        assert_eq!(
            sql("INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING").0,
            "INSERT INTO t (a, b) VALUES (?, ?) ON DUPLICATE KEY UPDATE a = a"
        );
        assert_eq!(
            sql("INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = excluded.b, c = t.c + 1").0,
            "INSERT INTO t (a, b) VALUES (?, ?) ON DUPLICATE KEY UPDATE b = VALUES(b), c = t.c + 1"
        );
    }
}
