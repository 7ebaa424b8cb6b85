//! Records of a file, one after another: CSV (RFC 4180) with a line of names, or JSON lines.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde_json::{Map, Value};

use super::{super::super::Failure, Format};

/// Longer than any account.
const MOST_LINE: u64 = 1_024 * 1_024;

/// One account as the file has it; what is empty in a CSV file is null.
pub(super) struct Record {
    pub(super) line: u64,
    pub(super) fields: Vec<(String, Value)>,
}

/// A line that is no record.
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) message: String,
}

type Input = Box<dyn Read>;

enum Records {
    Csv {
        reader: Box<csv::Reader<Input>>,
        fields: Vec<String>,
    },
    Json {
        reader: BufReader<Input>,
        line: u64,
        bytes: u64,
    },
}

pub(super) struct Reader {
    records: Records,
    bytes: Option<u64>,
}

impl Reader {
    pub(super) fn open(file: &Path, format: Format) -> Result<Self, Failure> {
        let place = |error: std::io::Error| Failure::of(format!("{}: {error}", file.display()));
        let (input, bytes): (Input, Option<u64>) = if file.as_os_str() == "-" {
            (Box::new(std::io::stdin()), None)
        } else {
            let file = File::open(file).map_err(place)?;
            let bytes = file.metadata().map_err(place)?.len();
            (Box::new(file), Some(bytes))
        };
        let records = match format {
            Format::Csv => {
                let mut reader = Box::new(csv::ReaderBuilder::new().from_reader(input));
                let headers = reader.headers().map_err(Failure::invalid)?;
                let fields: Vec<String> = headers.iter().map(|field| field.trim().to_owned()).collect();
                let mut sorted = fields.clone();
                sorted.sort();
                if let Some([twice, _]) = sorted.array_windows().find(|[one, other]| one == other) {
                    return Err(Failure::invalid(format!("the first line names field {twice:?} twice")));
                }
                if fields.iter().all(String::is_empty) {
                    return Err(Failure::invalid("the first line names no fields"));
                }
                Records::Csv { reader, fields }
            }
            Format::Jsonl => Records::Json {
                reader: BufReader::new(input),
                line: 0,
                bytes: 0,
            },
        };
        Ok(Self { records, bytes })
    }

    /// The fields that every record has, where they are known before the first one.
    pub(super) fn fields(&self) -> &[String] {
        match &self.records {
            Records::Csv { fields, .. } => fields,
            Records::Json { .. } => &[],
        }
    }

    /// How large the file is, where that is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    pub(super) fn bytes_read(&self) -> u64 {
        match &self.records {
            Records::Csv { reader, .. } => reader.position().byte(),
            Records::Json { bytes, .. } => *bytes,
        }
    }

    /// The next record; `None`: that was the last one.
    pub(super) fn next(&mut self) -> Result<Option<Result<Record, Fault>>, Failure> {
        match &mut self.records {
            Records::Csv { reader, fields } => next_of_csv(reader, fields),
            Records::Json { reader, line, bytes } => next_of_json(reader, line, bytes),
        }
    }
}

fn next_of_csv(reader: &mut csv::Reader<Input>, fields: &[String]) -> Result<Option<Result<Record, Fault>>, Failure> {
    let mut record = csv::StringRecord::new();
    let position = |record: &csv::StringRecord| record.position().map_or(0, csv::Position::line);
    match reader.read_record(&mut record) {
        Ok(false) => Ok(None),
        Ok(true) => {
            let values = record.iter().map(|value| match value {
                "" => Value::Null,
                value => value.into(),
            });
            Ok(Some(Ok(Record {
                line: position(&record),
                fields: fields.iter().cloned().zip(values).collect(),
            })))
        }
        Err(error) => {
            let (pos, message) = match error.kind() {
                csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                    let told = format!(
                        "{len} fields, where the first line names {expected_len}; a value with a comma stands in quotes"
                    );
                    (pos, told)
                }
                csv::ErrorKind::Utf8 { pos, .. } => (pos, "not UTF-8".to_owned()),
                _ => return Err(Failure::of(error)),
            };
            let line = pos.as_ref().map_or(0, csv::Position::line);
            Ok(Some(Err(Fault { line, message })))
        }
    }
}

fn next_of_json(
    reader: &mut BufReader<Input>,
    line: &mut u64,
    bytes: &mut u64,
) -> Result<Option<Result<Record, Fault>>, Failure> {
    loop {
        let mut text = Vec::new();
        let read = reader
            .by_ref()
            .take(MOST_LINE + 1)
            .read_until(b'\n', &mut text)
            .map_err(Failure::of)?;
        if read == 0 {
            return Ok(None);
        }
        *line += 1;
        *bytes += u64::try_from(read).unwrap_or_default();
        if *bytes > MOST_LINE && u64::try_from(read).is_ok_and(|read| read > MOST_LINE) {
            return Err(Failure::invalid(format!("line {line} has over {MOST_LINE} bytes")));
        }
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line = *line;
        return Ok(Some(match serde_json::from_slice::<Map<String, Value>>(text) {
            Ok(fields) => Ok(Record {
                line,
                fields: fields.into_iter().collect(),
            }),
            // What the parser says may hold a piece of the line, and its place is within the line.
            Err(error) => Err(Fault {
                line,
                message: format!("not a JSON object (column {})", error.column()),
            }),
        }));
    }
}
