use super::*;
use crate::log_triage::lines::Lines;

fn analyse(text: &[u8]) -> Analysis {
    let mut analysis = Analysis::default();
    let mut lines = Lines::of(text);
    let mut reader = analysis.begin_source();
    while let Some(line) = lines.next().unwrap() {
        reader.line(&line);
    }
    reader.finish();
    analysis
}

#[test]
fn streams_are_joined_apart() {
    let log = "\
2026-01-01T00:00:00Z stderr Traceback (most recent call last):
2026-01-01T00:00:00Z stdout INFO request done
2026-01-01T00:00:01Z stderr   File \"a.py\", line 1, in f
2026-01-01T00:00:01Z stdout INFO request done
2026-01-01T00:00:02Z stderr KeyError: 'k'
";
    let analysis = analyse(log.as_bytes());
    let tally = &analysis.sources[0];
    assert_eq!((tally.lines, tally.entries, tally.stack_traces), (5, 3, 1));
    assert_eq!((tally.severities.error, tally.severities.info), (1, 2));
    let key = analysis.traces.keys().next().unwrap();
    assert_eq!((key.exception.as_str(), key.frame.as_str()), ("KeyError", "f in a.py"));
}

#[test]
fn every_entry_is_counted_once() {
    let log =
        b"2026-01-01T00:00:00Z stdout ERROR a\nno form at all\n\xff\xfe\n2026-01-01T00:00:00Z stdout \n";
    let analysis = analyse(log);
    let tally = &analysis.sources[0];
    let templated: u64 = analysis.templates.iter().map(|seen| seen.by_source.total().count).sum();
    assert_eq!((tally.lines, tally.malformed_lines), (4, 2));
    assert_eq!(tally.entries, tally.severities.total());
    assert_eq!(tally.entries, templated + analysis.untemplated_entries);
    assert_eq!(tally.entries, 3, "an empty line is no entry");
}

#[test]
fn a_crash_that_is_also_out_of_memory_tells_of_the_memory() {
    let log = "\
2026-01-01T00:00:00Z stderr java.lang.OutOfMemoryError: Java heap space
2026-01-01T00:00:00Z stderr \tat com.shop.Cache.put(Cache.java:3)
2026-01-01T00:00:01Z stderr panic: boom
2026-01-01T00:00:01Z stderr goroutine 1 [running]:
2026-01-01T00:00:01Z stderr main.main()
";
    let analysis = analyse(log.as_bytes());
    let classes: Vec<Class> = analysis.drain.templates().iter().map(|template| template.class).collect();
    assert_eq!(
        classes,
        [
            Class { severity: Severity::Error, kind: Some(FindingKind::OutOfMemory) },
            Class { severity: Severity::Fatal, kind: Some(FindingKind::StackTrace) },
        ]
    );
}
