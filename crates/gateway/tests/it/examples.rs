//! The examples: each is started by its one command, and every line of its README does what stands behind it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use bekci_test_support::{TempDir, find_program, free_port};

use crate::house::BEKCI;

/// An example that runs. It ends, with all that it started, on drop.
struct Example {
    child: Child,
    said: Vec<String>,
    /// The ports that its README names, and those that it has here.
    ports: Vec<(u16, u16)>,
    _folder: TempDir,
}

fn folder_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

impl Example {
    /// Starts it on free ports. Another process may take one before it listens: then it ends, and others are tried.
    fn start(name: &str, variables: &[(&str, u16)]) -> Self {
        let mut said = Vec::new();
        for _ in 0..5 {
            match Self::try_start(name, variables) {
                Ok(example) => return example,
                Err(why) => said = why,
            }
        }
        panic!("{name} did not get ready:\n{}", said.join("\n"));
    }

    fn try_start(name: &str, variables: &[(&str, u16)]) -> Result<Self, Vec<String>> {
        let folder = TempDir::new("example");
        let ports: Vec<(u16, u16)> = variables.iter().map(|(_, usual)| (*usual, free_port())).collect();
        let mut command = Command::new(find_program("setpriv").unwrap());
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(folder_of(name).join("run"))
            .env("BEKCI", BEKCI)
            .env("TMPDIR", folder.path());
        for ((variable, _), (_, port)) in variables.iter().zip(&ports) {
            command.env(variable, port.to_string());
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut example = Self {
            child,
            said: Vec::new(),
            ports,
            _folder: folder,
        };
        let lines = BufReader::new(example.child.stdout.take().unwrap()).lines();
        for line in lines {
            let line = line.unwrap();
            let is_ready = line.starts_with("ready: ");
            example.said.push(line);
            if is_ready {
                return Ok(example);
            }
        }
        Err(std::mem::take(&mut example.said))
    }

    /// Runs the `sh` blocks of the README in one shell. Behind `# ` a line has the status of its answer and texts of it, parted by commas.
    fn try_the_readme(&self, name: &str, count: usize) {
        let mut text = std::fs::read_to_string(folder_of(name).join("README.md")).unwrap();
        for (usual, port) in &self.ports {
            text = text.replace(&format!("127.0.0.1:{usual}"), &format!("127.0.0.1:{port}"));
        }
        let blocks = text.split("```sh\n").skip(1);
        let lines: Vec<&str> = blocks
            .filter_map(|block| block.split("```").next())
            .flat_map(str::lines)
            .collect();
        let script: String = lines
            .iter()
            .map(|line| format!("{line}\nprintf '\\n@@@@\\n'\n"))
            .collect();
        let ran = Command::new(find_program("bash").unwrap())
            .args(["-u", "-c", &script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&ran.stdout);
        let answers: Vec<&str> = out.split("\n@@@@\n").collect();
        let mut tried = 0;
        for (line, answer) in lines.iter().zip(&answers) {
            let Some((_, claims)) = line.rsplit_once("# ").filter(|_| line.starts_with("curl -i ")) else {
                continue;
            };
            let mut claims = claims.split(", ");
            let status = claims.next().unwrap();
            let begins = format!("HTTP/1.1 {status} ");
            assert!(
                answer.starts_with(&begins),
                "{line}\n{answer}\n{}",
                String::from_utf8_lossy(&ran.stderr)
            );
            for claim in claims {
                assert!(answer.contains(claim), "{claim}: {line}\n{answer}");
            }
            tried += 1;
        }
        assert_eq!(tried, count, "{name}: lines that say what they answer");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        // A script that has ended already is no reason to fail.
        let _sent = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        let _ended = self.child.wait();
    }
}

#[test]
fn reverse_proxy_does_what_its_readme_says() {
    let ports = [
        ("FRONT_PORT", 8000),
        ("PORT", 8080),
        ("OPS_PORT", 8081),
        ("PYTHON_PORT", 9001),
        ("NODE_PORT", 9002),
    ];
    let example = Example::start("reverse-proxy", &ports);
    example.try_the_readme("reverse-proxy", 12);
}

#[test]
fn casbin_policies_does_what_its_readme_says() {
    let ports = [("PORT", 8080), ("OPS_PORT", 8081), ("APP_PORT", 9000)];
    let example = Example::start("casbin-policies", &ports);
    assert!(
        example
            .said
            .iter()
            .any(|line| line == "5 of 5 decisions are the expected ones"),
        "{:?}",
        example.said
    );
    example.try_the_readme("casbin-policies", 8);
}
