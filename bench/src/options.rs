//! What the command line says.

/// What this process is for.
pub(crate) enum Role {
    /// It measures.
    Measure(Options),
    /// It is `bekci`, which reads the command line by itself.
    Gateway,
    /// It asks so many requests of a kind, one after the other, for what counts instructions.
    Count(String, u32),
    /// It is an Actix application that is measured by another process of this program.
    Application {
        /// Where it listens, on 127.0.0.1.
        port: u16,
        /// Whether it is one handler and nothing of Bekci.
        plain: bool,
    },
}

/// How much is measured.
pub(crate) struct Options {
    /// How often each thing is measured.
    pub(crate) repetitions: usize,
    /// How long `wrk` asks in one repetition.
    pub(crate) seconds: u32,
    /// Which tables: all where it is empty.
    tables: Vec<String>,
    /// The largest size of the table of growth.
    pub(crate) largest: u32,
    /// Whether the tables are written into the document.
    pub(crate) write: bool,
}

const TABLES: [&str; 5] = ["inside", "outside", "rest", "attack", "scale"];

const USAGE: &str = "\
cargo run --release -p bekci-bench -- [--repetitions 7] [--seconds 3] [--only inside|outside|rest|attack|scale]… [--largest 1000000] [--write]

  --repetitions N  the median of so many
  --seconds N      how long wrk asks in one repetition
  --only TABLE     one of the tables alone; `scale`, up to a million members of a role, is measured only if it is named
  --largest N      the largest size of the table `scale`, which begins with 1000
  --write          puts the tables into docs/performance.md, between its markers
";

impl Options {
    pub(crate) fn of_this_process() -> Role {
        let mut options = Self {
            repetitions: 7,
            seconds: 3,
            largest: 1_000_000,
            tables: Vec::new(),
            write: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .unwrap_or_else(|| panic!("{argument} needs a value\n{USAGE}"))
            };
            match argument.as_str() {
                "--repetitions" => options.repetitions = value().parse().unwrap(),
                "--seconds" => options.seconds = value().parse().unwrap(),
                "--largest" => options.largest = value().parse().unwrap(),
                "--only" => options.tables.push(value()),
                "--write" => options.write = true,
                "serve" | "principal" => return Role::Gateway,
                "serve-plain" | "serve-guarded" => {
                    return Role::Application {
                        port: value().parse().unwrap(),
                        plain: argument == "serve-plain",
                    };
                }
                "count" => {
                    let scene = value();
                    return Role::Count(scene, value().parse().unwrap());
                }
                _ => panic!("{argument}?\n{USAGE}"),
            }
        }
        let known = |table: &String| TABLES.contains(&table.as_str());
        let counts = options.repetitions > 0 && options.seconds > 0;
        assert!(counts && options.tables.iter().all(known), "{USAGE}");
        assert!(
            !(options.write && cfg!(debug_assertions)),
            "a build without optimisation is not written down: cargo run --release"
        );
        Role::Measure(options)
    }

    /// Whether a table is named.
    pub(crate) fn names(&self, table: &str) -> bool {
        self.tables.iter().any(|wanted| wanted == table)
    }

    pub(crate) fn wants(&self, table: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|wanted| wanted == table)
    }
}
