//! Commands: which words a payload may fill. Programs that read their words as code (`readers`), ask somebody else (`asks`) or
//! only start others (`starters`) are known by name.

use super::starters::{self, Started};
use super::{asks, common, readers};

/// One word of a command as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArgvWord<'a> {
    /// What is known of it: all of it, or what stands before its first tag.
    pub(crate) literal: &'a str,
    /// Whether there is more to it than `literal`.
    pub(crate) open: bool,
    /// The path of the payload value in it.
    pub(crate) tainted: Option<&'a str>,
}

/// The reason when a payload would name an option.
pub(crate) const CHOOSES_OPTION: &str = "would choose an option";
/// Why a command is refused: the word's place, the payload's path, and what is wrong.
pub(crate) fn check_argv(words: &[ArgvWord<'_>]) -> Option<(usize, String, String)> {
    let tainted = || words.iter().enumerate().filter_map(|(at, word)| Some((at, word.tainted?)));
    if let Some(path) = words.first().and_then(|word| word.tainted) {
        return Some((0, path.to_owned(), "would choose the program that runs".to_owned()));
    }
    if let (true, Some((at, path))) = (words.first().is_some_and(|word| word.open), tainted().next()) {
        return Some((at, path.to_owned(), "what program it is given to is not written out".to_owned()));
    }
    if let Some((at, path)) = tainted().find(|(at, _)| {
        let literal = words[*at].literal;
        !literal.is_empty() && literal.bytes().all(|b| b == b'-')
    }) {
        return Some((at, path.to_owned(), CHOOSES_OPTION.to_owned()));
    }
    if let Some((at, reason)) = chosen(words) {
        return words[at].tainted.map(|path| (at, path.to_owned(), reason));
    }
    let last = tainted().next_back()?.0;
    // Any word may be the program behind a starter; beside the first, only those before the last payload value matter.
    let behind_starter = starters::find(&program(words[0].literal)).is_some();
    for (at, word) in words.iter().enumerate().take(last) {
        let name = program(word.literal);
        let starts = at == 0 || behind_starter;
        if !starts && readers::find(&name).is_none() {
            continue;
        }
        if let Some(reason) = readers::refused(&name, &words[at + 1..], starts) {
            let (place, path) = tainted().find(|(place, _)| *place > at)?;
            return Some((place, path.to_owned(), reason));
        }
    }
    let (at, reason) = common::refused(words, program)?;
    Some((at, words[at].tainted?.to_owned(), reason))
}

/// Where a payload value would choose what is started, installed or asked.
fn chosen(words: &[ArgvWord<'_>]) -> Option<(usize, String)> {
    let mut begin = 0;
    while let Some(first) = words.get(begin) {
        let (name, rest) = (program(first.literal), &words[begin..]);
        if let Some((at, reason)) = asks::refused(&name, rest) {
            return Some((begin + at, reason));
        }
        match starters::find(&name).map(|starter| starter.look(rest)) {
            Some(Started::Program(at)) => begin += at,
            Some(Started::Refused(at, reason)) => return Some((begin + at, reason)),
            Some(Started::Nothing) | None => return None,
        }
    }
    None
}

/// The name of a program: without folders, version and extension.
fn program(word: &str) -> String {
    let name =
        word.trim_matches(|c: char| c.is_whitespace()).rsplit(['/', '\\']).next().unwrap_or(word).to_ascii_lowercase();
    // Builds of one program: `bash-static`, `python3-dbg`, `busybox.static`.
    let name = [".exe", "-static", ".static", "-dbg", "-debug", ".distrib", ".real"]
        .iter()
        .fold(name.as_str(), |name, build| name.strip_suffix(build).filter(|rest| !rest.is_empty()).unwrap_or(name));
    // The loader of programs, by whatever name: `/lib64/ld-linux-x86-64.so.2`.
    if name.starts_with("ld-linux") || name.starts_with("ld-musl") || name == "ld.so" || name.starts_with("ld64.so") {
        return "ld.so".to_owned();
    }
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    // `sqlite3` is a name; `python3.12` is python.
    let known = readers::find(name).is_some() || starters::find(name).is_some();
    if known || bare.is_empty() { name.to_owned() } else { bare.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words divided by spaces; `@` is a payload value, `x=@` one behind a literal, `?` and `x?` templates without one.
    fn check(command: &str) -> Option<String> {
        let words: Vec<ArgvWord<'_>> = command
            .split(' ')
            .map(|word| match word.strip_suffix('@') {
                Some(literal) => ArgvWord { literal, open: true, tainted: Some("payload.x") },
                None if word.ends_with('?') => {
                    ArgvWord { literal: word.trim_end_matches('?'), open: true, tainted: None }
                }
                None => ArgvWord { literal: word, open: false, tainted: None },
            })
            .collect();
        check_argv(&words).map(|(_, _, reason)| reason)
    }

    #[test]
    fn programs_that_run_text_get_no_payload() {
        for command in [
            "@",
            "@ x",
            "sh -c @",
            "sh -c echo @",
            "sh -c 'echo' _ @",
            "bash -lc @",
            "bash -euxo pipefail -c @",
            "/bin/bash -c @",
            "/usr/bin/env bash -c @",
            "env -S @",
            "env --split-string=@",
            "env FOO=1 sh -c @",
            "sudo sh -c @",
            "sudo -u www sh -c @",
            "busybox sh -c @",
            "timeout 5 bash -c @",
            "python -c @",
            "python3 -c @",
            "python3.12 -c @",
            "python -uc @",
            "node -e @",
            "node --eval=@",
            "node -p @",
            "perl -e @",
            "perl -ne @",
            "ruby -e @",
            "php -r @",
            "xargs @",
            "xargs -I{} echo @",
            "ssh host @",
            "ssh @",
            "su -c @",
            "eval @",
            "find . -name @ -exec rm {} ;",
            "find . -exec sh -c @",
            "bash @",
            "python @",
            "awk @",
            "sed @ file",
            "psql -c @",
            "mysql -e @",
            "sqlite3 db @",
            "docker exec app sh -c @",
            "kubectl exec pod -- sh -c @",
            "nice -n 5 perl -e @",
            "-@",
            "git checkout --@",
            "git -c @",
            "? @",
            "sh ? @",
            "env python ? @",
            "tar --checkpoint-action=@",
            // Programs behind others.
            "env @",
            "env A=1 @ x",
            "env LD_PRELOAD=@ ./deploy.sh",
            "env BASH_ENV=@ bash deploy.sh",
            "env -u X @",
            "env PATH=@ deploy",
            "/usr/bin/env -i @",
            "sudo @",
            "sudo -u www @",
            "sudo -u @ ./deploy.sh",
            "nice @",
            "nice -n 5 @",
            "nohup @",
            "setsid -w @",
            "timeout 5 @",
            "timeout -s KILL 5 @",
            "timeout 5 env @",
            "timeout 5 nice env A=1 @",
            "busybox @",
            "npx @",
            "npm exec @",
            "npm run @",
            "npm install @",
            "npm install pkg@@",
            "pip install @",
            "docker run @",
            "docker run --rm alpine @",
            "docker exec -it app @",
            "docker run -v @ alpine ls",
            "docker run --privileged=@ alpine ls",
            "docker run -e @ alpine ls",
            "docker run -e LD_PRELOAD=@ alpine ls",
            "kubectl exec pod -- @",
            "kubectl run x --image=@",
            "env s? @",
            "sudo ? @",
            // Code behind options with values.
            "awk -F : @",
            "awk -F . @",
            "awk -F: @",
            "awk -v a=b @",
            "sed -n @",
            "sed s/a/b/ -e @",
            "sed s/VERSION/@ file",
            "sed -E -l 5 @",
            "bash -o pipefail @",
            "bash -O extglob @",
            "bash -- @",
            "bash --rcfile @ -i",
            "python -W ignore @",
            "python -m @",
            "python -m timeit @",
            "python -X dev @",
            "perl -I lib @",
            "node --unknown x @",
            "node -C dev @",
            "bash -? @",
            "php -f @",
            // Others that run text.
            "make TAG=@",
            "make deploy @",
            "git config core.pager @",
            "git submodule foreach @",
            "git bisect run @",
            "ansible-playbook site.yml -e version=@",
            "split --filter=@ f",
            "rsync -avze @ a b",
            // Options with a plus.
            "bash +x -c @",
            "sh +e -c @",
            "dash +x -c @",
            "bash +xe -c @",
            "bash +O extglob -c @",
            "bash +o posix -c @",
            "/usr/bin/bash +x -c @",
            "env bash +x -c @",
            "timeout 5 bash +x -c @",
            "nice -n 5 bash +x -c @",
            "zsh +f -c @",
            "bash +x @",
            "bash +@ deploy.sh",
            "bash + @",
            "busybox ash +x -c @",
            "bash --norc +x -c @",
            "bash-static @",
            "bash-5.1 +x @",
            "python3-dbg @",
            "python3.12-dbg -u @",
            "busybox.static sh @",
            // More letters, and what follows them.
            "python -u@ deploy.py",
            "python -m@ x",
            "python -W@ deploy.py",
            "perl -w@ x.pl",
            "bash -x@ deploy.sh",
            "sed -n@ file",
            // Words that mean code without a dash.
            "deno eval @",
            "deno run @",
            "deno run --allow-net @",
            "cmd /c @",
            "cmd /s /c @",
            "cmd.exe /C @",
            "node inspect @",
            "crystal eval @",
            "redis-cli eval @",
            "redis-cli -h db EVAL @",
            // Languages.
            "julia -e @",
            "julia -E @",
            "elixir -e @",
            "groovy -e @",
            "swift -e @",
            "ghc -e @",
            "ocaml -e @",
            "clojure -e @",
            "guile -c @",
            "sbcl --eval @",
            "erl -eval @",
            "erl -noshell -eval @",
            "nu -c @",
            "nu --commands=@",
            "R -e @",
            "Rscript -e @",
            "octave --eval @",
            "matlab -batch @",
            "raku -e @",
            "ts-node -p @",
            "bb -e @",
            "java -jar @",
            // Databases.
            "duckdb -c @",
            "duckdb db @",
            "sqlite3 db .tables @",
            "clickhouse-client --query @",
            "cqlsh -e @",
            "bq query @",
            // Tools that run something.
            "hg --config @",
            "hg --config=alias.x=@ x",
            "git grep -O@",
            "git grep --open-files-in-pager=@",
            "git rebase -x @",
            "tcpdump -z @",
            "tcpdump -i any -z @",
            "capsh -- -c @",
            "sg docker @",
            "sg docker -c @",
            "nix-shell --run @",
            "nix-shell -p @",
            "doppler run --command @",
            "doppler run --command=@",
            "doppler run -- @",
            "hyperfine @",
            "run-parts @",
            "/lib64/ld-linux-x86-64.so.2 @",
            "/lib/ld-musl-x86_64.so.1 @ x",
            "crontab @",
            "rpm --eval @",
            "just deploy @",
            "vim +@ x",
            "less +@ x",
            "tar --checkpoint-act=@ x",
            "tar --to-com=@ -xf x",
            // Other machines.
            "vagrant ssh -c @",
            "gcloud compute ssh host --command=@",
            "gcloud compute ssh host -- @",
            "fly ssh console -C @",
            "heroku run @",
            "pdsh -w h @",
            "salt x cmd.run @",
            "oc exec pod -- @",
            "ip netns exec ns @",
            "gosu www @",
            "xterm -e @",
            "gnome-terminal -- @",
            // Whatever the program.
            "./tool -c @",
            "./tool -e @",
            "./tool -c@",
            "./tool --eval @",
            "./tool --eval=@",
            "./tool -eval @",
            "./tool -eval=@",
            "./tool eval @",
            "./tool --command @",
            "./tool --command=@",
            "./tool --run @",
            "./tool -exec @",
            "./tool --execute=print(@",
            "./tool -lc @",
            "./tool -c print(@",
            "./tool -cprint(@",
            "./tool /c @",
            "timeout 5 ./tool -c @",
            "sudo -u www unheard-of -e @",
            "aws ecs execute-command --command @",
            // Where a request goes, and files that a word reads.
            "curl @",
            "curl -s @",
            "curl https://@",
            "curl https://api.example@",
            "curl -d @ https://example.com",
            "curl -o @ https://example.com",
            "curl -K @",
            "wget @",
        ] {
            assert!(check(command).is_some(), "{command}");
        }
    }

    #[test]
    fn other_commands_get_it() {
        for command in [
            "./deploy.sh --tag @",
            "./deploy.sh --tag=@",
            "bash deploy.sh @",
            "python deploy.py @",
            "node app.js -p @",
            "python deploy.py -c @",
            "./run.sh --lang python @",
            "git checkout @",
            "git log --author=@",
            "gh issue comment @ --body @",
            "find . -name @",
            "echo sh -c",
            "curl --data-raw @ https://example.com",
            "curl -d x=@ https://example.com",
            "curl -s https://example.com/@",
            "curl -sS -X POST https://example.com/items/@ -d a=b",
            "env TAG=@ ./deploy.sh",
            "env -i TAG=@ ./deploy.sh @",
            "timeout 5 ./deploy.sh @",
            "nice -n 5 ./deploy.sh --tag @",
            "sudo -u www ./deploy.sh @",
            "nohup bash deploy.sh @",
            "npm run deploy -- --tag @",
            "docker run --rm -e TAG=@ alpine ./x.sh",
            "docker run --rm registry/app:@ ./x.sh",
            "docker exec app ./x.sh @",
            "docker run --rm --name=x@ alpine ls",
            "kubectl exec -n prod pod -- ./x.sh @",
            "awk -F : {print} @",
            "awk -v x=@ {print}",
            "sed -n s/a/b/ @",
            "bash -x deploy.sh @",
            "bash -o pipefail deploy.sh @",
            "python -W ignore deploy.py @",
            "python -m deploy @",
            "node --enable-source-maps app.js @",
            "./deploy.sh ? @",
            "bash deploy.sh ? @",
            "sh -c echo",
            "docker pull registry/app:@",
            "jq --arg x @ .",
            // Options that are data for these programs, and scripts' own.
            "grep -e @ file",
            "timeout 5 grep -re @ file",
            "rg -e @",
            "curl -e @ https://example.com",
            "head -c @ file",
            "ping -c @ host",
            "docker run -e TAG=@ alpine ./x.sh",
            "bash deploy.sh -c @",
            "./deploy.sh -env @",
            "./deploy.sh -env=@",
            "./deploy.sh -config=@",
            "./deploy.sh -c prod @",
            "./deploy.sh --environment @",
            // What stands before them is settled.
            "bash +x deploy.sh @",
            "bash +O extglob deploy.sh @",
            "deno run --allow-net main.ts @",
            "java -jar app.jar @",
            "julia deploy.jl @",
            "doppler run -- ./x.sh @",
            "redis-cli set key @",
            "run-parts --arg=@ ./parts",
            "hg log --user @",
            "ip netns exec ns ./x.sh @",
            "/lib64/ld-linux-x86-64.so.2 ./x @",
        ] {
            assert_eq!(check(command), None, "{command}");
        }
    }
}
