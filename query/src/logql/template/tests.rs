use std::sync::Arc;

use store::Labels;

use super::{Context, Template};
use crate::logql::line_labels::LineLabels;

const TIMESTAMP_NS: i64 = 1_656_353_124_120_000_000;

fn run(template: &str) -> Result<String, String> {
    let mut labels = LineLabels::default();
    labels.reset(&Arc::new(Labels::new([
        ("foo", "blip"),
        ("bar", "Blop"),
        ("n", "12.5"),
        ("i", "7"),
        ("json", r#"{"a":{"b":[1,"x"]},"ok":true}"#),
        ("at", "2023-03-10T01:32:40.340485723Z"),
    ])));
    let template = Template::new("line", template)?;
    let mut out = String::new();
    template
        .execute(&Context { timestamp_ns: TIMESTAMP_NS, line: b"the line", labels: &labels }, &mut out)?;
    Ok(out)
}

#[test]
fn templates_give_what_go_gives() {
    for (template, expected) in [
        ("a{{.foo}}b{{ .missing }}c", "ablipbc"),
        ("a {{- .foo -}} b", "ablipb"),
        ("{{/* note */}}x", "x"),
        ("{{ if eq .foo \"blip\" }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ if .missing }}1{{ else if .foo }}2{{ else }}3{{ end }}", "2"),
        ("{{ with .foo }}[{{ . }}]{{ end }}", "[blip]"),
        ("{{ $x := .foo }}{{ $x | upper }}{{ $.bar }}", "BLIPBlop"),
        ("{{ range $i, $v := (fromJson .json).a.b }}{{ $i }}={{ $v }};{{ end }}", "0=1;1=x;"),
        ("{{ range $k, $v := . }}{{ if eq $k \"foo\" }}{{ $v }}{{ break }}{{ end }}{{ end }}", "blip"),
        ("{{ range (fromJson .missing) }}x{{ else }}none{{ end }}", "none"),
        (
            "{{ printf \"%-6s|%5.2f|%03d|%q|%v\" .foo (float64 .n) 7 .bar true }}",
            "blip  |12.50|007|\"Blop\"|true",
        ),
        ("{{ printf \"%d\" .foo }}", "%!d(string=blip)"),
        ("{{ printf \"%s %s\" .foo }}", "blip %!s(MISSING)"),
        ("{{ printf \"%s\" .foo .bar }}", "blip%!(EXTRA string=Blop)"),
        ("{{ print 1 2 \"a\" 3 }}", "1 2a3"),
        ("{{ and .foo .missing }}|{{ or .missing .foo }}|{{ not .foo }}", "|blip|false"),
        ("{{ len .foo }}{{ index . \"bar\" }}{{ slice .foo 1 3 }}", "4Blopli"),
        ("{{ add 1 2 3 }} {{ sub 5 2 }} {{ mul 2 3 }} {{ div 7 2 }} {{ mod .i 4 }}", "6 3 6 3 3"),
        ("{{ addf 1.5 2 }} {{ subf 2 0.5 }} {{ max 1 5 3 }} {{ minf 1.5 0.5 }}", "3.5 1.5 5 0.5"),
        ("{{ round 3.14159 2 }} {{ ceil 1.2 }} {{ floor 1.8 }}", "3.14 2 1"),
        ("{{ .n | float64 }} {{ int \"42\" }} {{ divf 10 4 }}", "12.5 42 2.5"),
        ("{{ trunc 2 .foo }}{{ trunc -2 .foo }}{{ substr 1 3 .foo }}", "blipli"),
        ("{{ .foo | replace \"b\" \"B\" }}{{ Replace .foo \"p\" \"q\" 1 }}", "Blipbliq"),
        ("{{ Trim \"xax\" \"x\" }}{{ trimAll \"x\" \"xbx\" }}{{ trimPrefix \"b\" .foo }}", "ablip"),
        ("{{ title \"hello world\" }}{{ repeat 2 \"ab\" }}", "Hello Worldabab"),
        ("{{ alignLeft 6 .foo }}|{{ alignRight 6 .foo }}|{{ alignRight 2 .foo }}", "blip  |  blip|ip"),
        ("{{ indent 2 \"a\\nb\" }}{{ nindent 1 \"c\" }}", "  a\n  b\n c"),
        ("{{ b64enc \"hello\" }} {{ b64dec \"aGVsbG8=\" }}", "aGVsbG8= hello"),
        ("{{ urlencode \"a b&c\" }} {{ urldecode \"a+b%26c\" }}", "a+b%26c a b&c"),
        ("{{ regexReplaceAll \"(l)(i)\" .foo \"${2}$1\" }}", "bilp"),
        ("{{ regexReplaceAllLiteral \"l\" .foo \"$1\" }}", "b$1ip"),
        ("{{ .foo | contains \"li\" }} {{ .foo | hasPrefix \"x\" }}", "true false"),
        ("{{ default \"d\" .missing }}{{ .foo | default \"d\" }}", "dblip"),
        ("{{ __line__ | len }} {{ __timestamp__ | unixEpochMillis }}", "8 1656353124120"),
        ("{{ __timestamp__ | date \"2006-01-02T15:04:05.000Z07:00\" }}", "2022-06-27T18:05:24.120Z"),
        ("{{ __timestamp__ }}", "2022-06-27 18:05:24.12 +0000 UTC"),
        (
            "{{ .at | toDate \"2006-01-02T15:04:05.999999999Z07:00\" | unixEpochNanos }}",
            "1678411960340485723",
        ),
        (
            "{{ toDateInZone \"2006-01-02 15:04\" \"Europe/Berlin\" \"2023-07-01 12:00\" | unixEpoch }}",
            "1688205600",
        ),
        ("{{ unixToTime \"1678411960\" | date \"Mon Jan _2 3:04PM 2006\" }}", "Fri Mar 10 1:32AM 2023"),
        ("{{ \"1.5kB\" | bytes }} {{ \"1m30s\" | duration }}", "1500 90"),
        ("{{ `raw` }}{{ 'a' }}{{ 0x10 }}{{ 1e3 }}", "raw97161000"),
        ("{{ eq 1 1 }}{{ lt 1.5 2.5 }}{{ ge \"b\" \"a\" }}{{ eq .foo \"a\" \"blip\" }}", "truetruetruetrue"),
        ("{{ html \"<a>\" }}{{ fromJson .json }}", "&lt;a&gt;map[a:map[b:[1 x]] ok:true]"),
    ] {
        assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn parse_errors_are_found_early() {
    for bad in [
        "{{",
        "{{ .foo",
        "{{ nosuch .foo }}",
        "{{ if .a }}",
        "{{ end }}",
        "{{ $x }}",
        "{{ .foo | .bar }}",
        "{{ \"a }}",
        "{{ (1 }}",
        "{{ }}",
        "{{ break }}",
        "{{ template \"x\" }}",
        "{{ if .a }}{{ else }}{{ else }}{{ end }}",
    ] {
        assert!(Template::new("line", bad).is_err(), "{bad}");
    }
}

#[test]
fn runtime_errors_read_like_go() {
    assert_eq!(
        run("{{replace \"test\" .foo}}").unwrap_err(),
        "template: line:1:2: executing \"line\" at <replace>: wrong number of args for replace: want 3 got 2"
    );
    assert_eq!(
        run("{{ .foo | duration }}").unwrap_err(),
        "template: line:1:10: executing \"line\" at <duration>: error calling duration: time: invalid duration \"blip\""
    );
    for failing in [
        "{{ eq 1 \"a\" }}",
        "{{ div 1 0 }}",
        "{{ .foo.bar }}",
        "{{ upper 1 }}",
        "{{ repeat 999999999 .foo }}",
    ] {
        assert!(run(failing).is_err(), "{failing}");
    }
}

#[test]
fn fields_are_known() {
    let template = Template::new("line", "{{ .a }}{{ if .b }}{{ (printf .c) }}{{ end }}{{ $.d }}").unwrap();
    assert_eq!(template.fields(), ["a", "b", "c", "d"]);
    assert!(!template.sees_all_labels());
    assert!(Template::new("line", "{{ range . }}{{ end }}").unwrap().sees_all_labels());
}
